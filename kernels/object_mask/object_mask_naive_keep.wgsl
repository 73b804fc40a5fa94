// Thresholds the largest of the used tags' normalised maps: the baseline's second pass. One token per
// invocation, scalar loads.
//
//   keep[n, t] = 1 where the largest maps[n, v, t] over the used tags is above tau, else 0;
//     where tau is 0, also where it is 0
//
// Shapes: maps: f32[images, count, tokens], row-major, -1 where there is no number;
// used: i32[images, count]; keep: i32[images, tokens].
// Dispatch: gridFor(images tokens, 64); the grid folds x into y.

struct Params {
  images: u32,
  tokens: u32,
  count: u32, // in-distribution tags, V
  tau: f32,
}

@group(0) @binding(0) var<storage, read> maps: array<f32>;
@group(0) @binding(1) var<storage, read> used: array<i32>;
@group(0) @binding(2) var<storage, read_write> keep: array<i32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + local;
  if (item >= params.images * params.tokens) {
    return;
  }
  let image = item / params.tokens;
  let token = item - image * params.tokens;
  var value = -1.0;
  for (var v = 0u; v < params.count; v++) {
    let map = image * params.count + v;
    if (used[map] == 1) {
      value = max(value, maps[map * params.tokens + token]);
    }
  }
  keep[item] = select(0, 1, value > params.tau || (params.tau == 0.0 && value == 0.0));
}
