// The mean of every window of a map.
//
//   y[n, p, q, c] = sum over the taps (i, j) inside the map of
//                   x[n, p stride_h + i - top, q stride_w + j - left, c] / count(p, q)
//
// count(p, q): the taps inside the map, or inside the padded map where INCLUDE_PAD is 1.
//
// Shapes: x: Elem[N, height, width, channels]; y: Elem[N, out_height, out_width, channels].
// Dispatch: gridFor(items, 64), items = all elements of y; the grid folds x into y.
// Numerics: f32, summed in row-major order.

alias Elem = vec4<f32>; // @spec
const INCLUDE_PAD: u32 = 0u; // @spec

struct Params {
  items: u32,
  channels: u32, // in units of Elem
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
  kernel_h: u32,
  kernel_w: u32,
  stride_h: u32,
  stride_w: u32,
  top: u32, // padding, in elements
  left: u32,
  padded_height: u32,
  padded_width: u32,
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
  // Where the window begins, in the padded map.
  let h = (row - n * params.out_height) * params.stride_h;
  let w = (column - row * params.out_width) * params.stride_w;
  let i_begin = max(h, params.top) - h;
  let j_begin = max(w, params.left) - w;
  let i_end = min(params.kernel_h, params.top + params.height - h);
  let j_end = min(params.kernel_w, params.left + params.width - w);
  var sum = Elem(0.0);
  for (var i = i_begin; i < i_end; i++) {
    let line = (n * params.height + (h + i - params.top)) * params.width + w - params.left;
    for (var j = j_begin; j < j_end; j++) {
      sum += x[(line + j) * params.channels + c];
    }
  }
  var count = (i_end - i_begin) * (j_end - j_begin);
  if (INCLUDE_PAD == 1u) { // @static
    count = min(params.kernel_h, params.padded_height - h) *
      min(params.kernel_w, params.padded_width - w);
  }
  y[item] = sum / f32(count);
}
