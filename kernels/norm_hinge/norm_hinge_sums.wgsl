// Sums of the hinge and of the mask over rows, part by part: the first of two passes.
//
//   parts[0, i] = sum over the rows r with r % count = i of mask[r] max(norms[r] - margin, 0)
//   parts[1, i] = likewise of mask[r],  a row counting where its mask is not 0
//
// Shapes: norms, mask: f32[rows]; parts: f32[2, count].
// Dispatch: gridFor(count, WORKGROUP); the grid folds x into y. Accumulator: f32, in a fixed order.
// At most 60,000 rows for each part.

override WORKGROUP: u32 = 8u;

struct Params {
  rows: u32,
  count: u32,
  margin: f32,
}

@group(0) @binding(0) var<storage, read> norms: array<f32>;
@group(0) @binding(1) var<storage, read> mask: array<f32>;
@group(0) @binding(2) var<storage, read_write> parts: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.count) {
    return;
  }
  var loss = 0.0;
  var selected = 0.0;
  for (var r = at; r < params.rows; r += params.count) {
    if (mask[r] != 0.0) {
      loss += max(norms[r] - params.margin, 0.0);
      selected += 1.0;
    }
  }
  parts[at] = loss;
  parts[params.count + at] = selected;
}
