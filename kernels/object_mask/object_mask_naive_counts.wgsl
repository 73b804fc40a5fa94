// Counts the kept tokens of each image: the baseline. One image per invocation, scalar loads.
//
//   counts[n] = sum over t of keep[n, t]
//
// Shapes: keep: i32[images, tokens], row-major; counts: i32[images].
// Dispatch: gridFor(images, 64); the grid folds x into y.

struct Params {
  images: u32,
  tokens: u32,
}

@group(0) @binding(0) var<storage, read> keep: array<i32>;
@group(0) @binding(1) var<storage, read_write> counts: array<i32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let image = (wid.y * grid.x + wid.x) * 64u + local;
  if (image >= params.images) {
    return;
  }
  var sum = 0;
  for (var t = 0u; t < params.tokens; t++) {
    sum += keep[image * params.tokens + t];
  }
  counts[image] = sum;
}
