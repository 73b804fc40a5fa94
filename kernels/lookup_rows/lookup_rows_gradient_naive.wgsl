// The gradient of rows that were looked up: the baseline. One element of the table per invocation,
// which looks at every number.
//
//   dTable[r] = sum of dY[n] over all n with index[n] = r
//
// Shapes: dY: f32[samples, columns], row-major; index: i32[samples]; dTable: f32[rows, columns].
// Dispatch: gridFor(rows columns, 64); the grid folds x into y. The samples begin to end - 1 are added
// to what there is, or to zero where begin is 0. Numerics: f32.

struct Params {
  begin: u32,
  end: u32,
  columns: u32,
  rows: u32,
}

@group(0) @binding(0) var<storage, read> dY: array<f32>;
@group(0) @binding(1) var<storage, read> index: array<i32>;
@group(0) @binding(2) var<storage, read_write> dTable: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  if (item >= params.rows * params.columns) {
    return;
  }
  let row = item / params.columns;
  let column = item - row * params.columns;
  var sum = 0.0;
  if (params.begin > 0u) {
    sum = dTable[item];
  }
  for (var n = params.begin; n < params.end; n++) {
    if (index[n] == i32(row)) {
      sum += dY[n * params.columns + column];
    }
  }
  dTable[item] = sum;
}
