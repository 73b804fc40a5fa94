// Adds the rows of a small matrix: the second pass of every sum over many rows.
//
//   y[c] = scale * sum over r of parts[r, c]
//
// Shapes: parts: f32[rows, columns], row-major; y: f32[columns].
// Dispatch: gridFor(columns, 8); the grid folds x into y. A workgroup owns eight columns, LANES
// invocations share a column: 1 adds the rows in their order and needs no workgroup memory, more add
// every LANES-th row each and meet in a tree. The order depends on rows and LANES only.
// Accumulator: f32. At most 60,000 rows for each lane.

override WORKGROUP: u32 = 8u; // 8 * LANES
override LANES: u32 = 1u; // a power of two

struct Params {
  rows: u32,
  columns: u32,
  scale: f32,
}

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> sums: array<f32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let column = (wid.y * grid.x + wid.x) * 8u + local % 8u;
  let lane = local / 8u;
  let inside = column < params.columns;
  var sum = 0.0;
  for (var r = select(params.rows, lane, inside); r < params.rows; r += LANES) {
    sum += parts[r * params.columns + column];
  }
  if (LANES > 1u) {
    sums[local] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sum += sums[local + 8u * stride];
        sums[local] = sum;
      }
    }
  }
  if (inside && lane == 0u) {
    y[column] = params.scale * sum;
  }
}
