// Adds the sums of squares of all segments, in ascending order.
//
// Shapes: first: f32[segments, rows]; value: f32[rows].
// Bindings: first, value. Dispatch: gridFor(rows, 8), folded from x into y.

struct Params {
  rows: u32,
  segments: u32,
}

@group(0) @binding(0) var<storage, read> first: array<f32>;
@group(0) @binding(1) var<storage, read_write> value: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (wid.y * grid.x + wid.x) * 8u + lane;
  if (row >= params.rows) {
    return;
  }
  var total = 0.0;
  for (var s = 0u; s < params.segments; s++) {
    total += first[s * params.rows + row];
  }
  value[row] = total;
}
