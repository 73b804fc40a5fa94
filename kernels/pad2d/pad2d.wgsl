// Maps with a border around them, or cut out of them: both are a shift.
//
//   y[n, p, q, c] = x[n, p - top, q - left, c] where that lies in the map, else `value`
//
// Shapes: x: Elem[N, height, width, channels]; y: Elem[N, out_height, out_width, channels].
// Dispatch: gridFor(items, 64), items = all elements of y; the grid folds x into y.

alias Elem = vec4<f32>; // @spec

struct Params {
  items: u32,
  channels: u32, // in units of Elem
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
  top: i32, // negative to cut
  left: i32,
  value: f32,
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
  if (item >= params.items) {
    return;
  }
  let column = item / params.channels;
  let c = item - column * params.channels;
  let row = column / params.out_width;
  let n = row / params.out_height;
  // Positions before the map wrap around to large ones.
  let h = u32(i32(row - n * params.out_height) - params.top);
  let w = u32(i32(column - row * params.out_width) - params.left);
  var v = Elem(params.value);
  if (h < params.height && w < params.width) {
    v = x[((n * params.height + h) * params.width + w) * params.channels + c];
  }
  y[item] = v;
}
