// Normalised attention maps of all in-distribution tags: the baseline's first pass. One map per
// invocation, scalar loads.
//
//   map[n, v, t] = sum over h of attention[n, h, tags[v], t]
//   maps[n, v, t] = (map[n, v, t] - low) / (high - low) of the map's smallest and largest finite
//     element; 1 where they are equal, -1 where the element is not finite
//
// Shapes: attention: f32[images, heads, outputs, tokens], row-major; tags: i32[count];
// maps: f32[images, count, tokens].
// Dispatch: gridFor(images count, 64); the grid folds x into y. Numerics: f32.

const LOWEST = -3.4028234e38;
const HIGHEST = 3.4028234e38;

struct Params {
  images: u32,
  heads: u32,
  outputs: u32, // tags of the tagger, M
  tokens: u32,
  count: u32, // in-distribution tags, V
}

@group(0) @binding(0) var<storage, read> attention: array<f32>;
@group(0) @binding(1) var<storage, read> tags: array<i32>;
@group(0) @binding(2) var<storage, read_write> maps: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

fn is_finite(x: f32) -> bool {
  return (bitcast<u32>(x) & 0x7f800000u) != 0x7f800000u && x > LOWEST;
}

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + local;
  if (item >= params.images * params.count) {
    return;
  }
  let image = item / params.count;
  let tag = u32(tags[item - image * params.count]);
  let known = tag < params.outputs;
  var low = HIGHEST;
  var high = LOWEST;
  for (var t = 0u; t < params.tokens; t++) {
    var value = LOWEST;
    if (known) {
      value = attention[(image * params.heads * params.outputs + tag) * params.tokens + t];
      for (var h = 1u; h < params.heads; h++) {
        let row = (image * params.heads + h) * params.outputs + tag;
        value += attention[row * params.tokens + t];
      }
    }
    maps[item * params.tokens + t] = value;
    if (is_finite(value)) {
      low = min(low, value);
      high = max(high, value);
    }
  }
  for (var t = 0u; t < params.tokens; t++) {
    let value = maps[item * params.tokens + t];
    var share = 1.0;
    if (high > low) {
      share = (value - low) / (high - low);
    }
    maps[item * params.tokens + t] = select(-1.0, share, is_finite(value));
  }
}
