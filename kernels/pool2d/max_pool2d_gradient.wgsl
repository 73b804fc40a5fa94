// The gradient of a max-pooling: every input element looks at the windows that cover it and takes the
// gradients of those whose first maximum it is.
//
//   dX[n, h, w, c] = sum of dY[n, p, q, c] over the windows (p, q) with taps[n, p, q, c] = i kernel_w + j
//   where i = h + top - p stride_h and j = w + left - q stride_w
//
// Shapes: dY: Elem and taps: Index, [N, out_height, out_width, channels]; dX: Elem[N, height, width,
// channels]. Params as in max_pool2d.wgsl, but items = all elements of dX.
// Dispatch: gridFor(items, 64); the grid folds x into y. Nothing is atomic.

alias Elem = vec4<f32>; // @spec
alias Index = vec4<u32>; // @spec

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

@group(0) @binding(0) var<storage, read> taps: array<Index>;
@group(0) @binding(1) var<storage, read> dY: array<Elem>;
@group(0) @binding(2) var<storage, read_write> dX: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// The first window whose last tap is not before position `at` of the padded map.
fn first_window(at: u32, kernel: u32, stride: u32) -> u32 {
  return select(0u, (at - kernel) / stride + 1u, at >= kernel);
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
    let tap_row = (h - p * params.stride_h) * params.kernel_w + w;
    for (var q = q_begin; q < q_end; q++) {
      let i = (line + q) * params.channels + c;
      sum += select(Elem(0.0), dY[i], taps[i] == Index(tap_row - q * params.stride_w));
    }
  }
  dX[item] = sum;
}
