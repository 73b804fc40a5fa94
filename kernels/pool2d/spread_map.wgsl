// Spreads one row over all positions of a map: the gradient of global average pooling.
//
//   y[n, p, c] = factor x[n, c]
//
// Shapes: x: Elem[N, channels]; y: Elem[N, positions, channels].
// Dispatch: gridFor(items, 64), items = all elements of y; the grid folds x into y.

alias Elem = vec4<f32>; // @spec

struct Params {
  items: u32,
  channels: u32, // in units of Elem
  positions: u32,
  factor: f32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 64u + lane;
  if (item < params.items) {
    let n = item / (params.positions * params.channels);
    y[item] = x[n * params.channels + item % params.channels] * params.factor;
  }
}
