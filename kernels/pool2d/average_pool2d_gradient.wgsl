// The gradient of an average-pooling: every input element gathers from the windows that cover it.
//
//   dX[n, h, w, c] = sum of dY[n, p, q, c] / count(p, q) over the windows (p, q) that cover (h, w)
//
// Shapes: dY: Elem[N, out_height, out_width, channels]; dX: Elem[N, height, width, channels]. Params and
// count as in average_pool2d.wgsl, but items = all elements of dX.
// Dispatch: gridFor(items, 64); the grid folds x into y. Nothing is atomic.

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

@group(0) @binding(0) var<storage, read> dY: array<Elem>;
@group(0) @binding(1) var<storage, read_write> dX: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// The first window whose last tap is not before position `at` of the padded map.
fn first_window(at: u32, kernel: u32, stride: u32) -> u32 {
  return select(0u, (at - kernel) / stride + 1u, at >= kernel);
}

// Taps that count along one axis, for a window that begins at `begin` of the padded map.
fn taps(begin: u32, kernel: u32, pad: u32, length: u32, padded: u32) -> u32 {
  if (INCLUDE_PAD == 1u) { // @static
    return min(kernel, padded - begin);
  }
  return min(begin + kernel, pad + length) - max(begin, pad);
}

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
  let c = item % params.channels;
  let column = item / params.channels;
  let row = column / params.width;
  let n = row / params.height;
  let h = row % params.height + params.top;
  let w = column % params.width + params.left;
  let p_end = min(h / params.stride_h + 1u, params.out_height);
  let q_begin = first_window(w, params.kernel_w, params.stride_w);
  let q_end = min(w / params.stride_w + 1u, params.out_width);
  var sum = Elem(0.0);
  for (var p = first_window(h, params.kernel_h, params.stride_h); p < p_end; p++) {
    let line = (n * params.out_height + p) * params.out_width;
    let rows = taps(
      p * params.stride_h,
      params.kernel_h,
      params.top,
      params.height,
      params.padded_height,
    );
    for (var q = q_begin; q < q_end; q++) {
      let columns = taps(
        q * params.stride_w,
        params.kernel_w,
        params.left,
        params.width,
        params.padded_width,
      );
      sum += dY[(line + q) * params.channels + c] / f32(rows * columns);
    }
  }
  dX[item] = sum;
}
