// Maps plus one number for each map and channel.
//
//   y[n, p, c] = x[n, p, c] + v[n, c]
//
// Shapes: x, y: Elem[N, positions, channels]; v: Elem[N, channels].
// Dispatch: gridFor(items, 64), items = all elements of y; the grid folds x into y.

alias Elem = vec4<f32>; // @spec

struct Params {
  items: u32,
  channels: u32, // in units of Elem
  positions: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> v: array<Elem>;
@group(0) @binding(2) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = (wid.y * grid.x + wid.x) * 64u + lane;
  if (i < params.items) {
    let n = i / (params.positions * params.channels);
    y[i] = x[i] + v[n * params.channels + i % params.channels];
  }
}
