// Adds up the slices of a sum, in their order.
//
//   y[i] = sum over s of parts[s, i]
//
// Shapes: parts: f32[slices, size]; y: f32[size].
// Dispatch: gridFor(size, 64); the grid folds x into y. Accumulator: f32.

struct Params {
  slices: u32,
  size: u32,
}

@group(0) @binding(0) var<storage, read> parts: array<f32>;
@group(0) @binding(1) var<storage, read_write> y: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let i = (wid.y * grid.x + wid.x) * 64u + local;
  if (i >= params.size) {
    return;
  }
  var sum = 0.0;
  for (var s = 0u; s < params.slices; s++) {
    sum += parts[s * params.size + i];
  }
  y[i] = sum;
}
