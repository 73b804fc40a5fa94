// The largest element of every window of a map, and which one it is.
//
//   y[n, p, q, c] = max over the taps (i, j) of x[n, p stride_h + i - top, q stride_w + j - left, c]
//   taps[n, p, q, c] = i kernel_w + j of the first maximum in row-major order
//
// Taps outside the map do not count; every window has one inside.
//
// Shapes: x: Elem[N, height, width, channels]; y: Elem and taps: Index, [N, out_height, out_width,
// channels]. y is written where VALUES is 1, taps where TAPS is 1.
// Dispatch: gridFor(items, 64), items = all elements of y; the grid folds x into y. NaN: unspecified.

alias Elem = vec4<f32>; // @spec
alias Index = vec4<u32>; // @spec
const VALUES: u32 = 1u; // @spec
const TAPS: u32 = 0u; // @spec

const LOWEST = -3.4028234e38;

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
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> y: array<Elem>;
@group(0) @binding(2) var<storage, read_write> taps: array<Index>;
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
  var best = Elem(LOWEST);
  var at = Index(i_begin * params.kernel_w + j_begin);
  for (var i = i_begin; i < i_end; i++) {
    let line = (n * params.height + (h + i - params.top)) * params.width + w - params.left;
    for (var j = j_begin; j < j_end; j++) {
      let v = x[(line + j) * params.channels + c];
      if (TAPS == 1u) { // @static
        at = select(at, Index(i * params.kernel_w + j), v > best);
      }
      best = max(best, v);
    }
  }
  if (VALUES == 1u) { // @static
    y[item] = best;
  }
  if (TAPS == 1u) { // @static
    taps[item] = at;
  }
}
