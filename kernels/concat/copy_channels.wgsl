// Copies a block of channels from one array of maps into another one.
//
//   y[p, y_begin + c] = x[p, x_begin + c] for all positions p and 0 <= c < channels
//
// Shapes: x: Elem[positions, x_channels]; y: Elem[positions, y_channels]; lengths and begins in units of
// Elem. Other channels of y stay as they are.
// Dispatch: gridFor(items, 64), items = positions channels; the grid folds x into y.

alias Elem = vec4<f32>; // @spec

struct Params {
  items: u32,
  channels: u32, // copied at each position
  x_channels: u32,
  x_begin: u32,
  y_channels: u32,
  y_begin: u32,
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
    let p = item / params.channels;
    let c = item - p * params.channels;
    y[p * params.y_channels + params.y_begin + c] = x[p * params.x_channels + params.x_begin + c];
  }
}
