// Copies one vec4 per invocation: the memory roof of the benchmarks.
//
//   target[i] = source[i], i < count
//
// Bindings: source, target: array<vec4<f32>>, read and written once.
// Dispatch: gridFor(count, 64); the grid folds x into y.

struct Params {
  count: u32, // vec4 elements
}

@group(0) @binding(0) var<storage, read> source: array<vec4<f32>>;
@group(0) @binding(1) var<storage, read_write> copied: array<vec4<f32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (wid.y * grid.x + wid.x) * 64u + lane;
  if (i < params.count) {
    copied[i] = source[i];
  }
}
