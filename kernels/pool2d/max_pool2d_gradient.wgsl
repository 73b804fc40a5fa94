// The gradient of a max-pooling: every input element looks at the windows that cover it and takes the
// gradients of those whose first maximum it is.
//
//   dX[n, h, w, c] = sum of dY[n, p, q, c] over the windows (p, q) with taps[n, p, q, c] = i kernel_w + j
//   where i = h + top - p stride_h and j = w + left - q stride_w
//
// Shapes: dY: Elem and taps: Index, [N, out_height, out_width, channels]; dX: Elem[N, height, width,
// channels]. Where APART is 1, windows do not overlap.
// Dispatch: gridFor(items, 64), items = all elements of dX; the grid folds x into y. Nothing is atomic.
// Numerics: f32, summed in row-major order.

alias Elem = vec4<f32>; // @spec
alias Index = vec4<u32>; // @spec
const KERNEL_H: u32 = 2u; // @spec
const KERNEL_W: u32 = 2u; // @spec
const STRIDE_H: u32 = 2u; // @spec
const STRIDE_W: u32 = 2u; // @spec
const APART: u32 = 1u; // @spec

struct Params {
  items: u32,
  channels: u32, // in units of Elem
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
  top: u32, // padding, in elements
  left: u32,
}

@group(0) @binding(0) var<storage, read> taps: array<Index>;
@group(0) @binding(1) var<storage, read> dY: array<Elem>;
@group(0) @binding(2) var<storage, read_write> dX: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// An element of the padded maps.
struct Place {
  n: u32,
  h: u32,
  w: u32,
  c: u32,
}

// What window (p, q) gives an element that it covers.
fn share(at: Place, p: u32, q: u32) -> Elem {
  let window = ((at.n * params.out_height + p) * params.out_width + q) * params.channels + at.c;
  let tap = (at.h - p * STRIDE_H) * KERNEL_W + at.w - q * STRIDE_W;
  return select(Elem(0.0), dY[window], taps[window] == Index(tap));
}

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
  let column = item / params.channels;
  let row = column / params.width;
  let n = row / params.height;
  let h = row - n * params.height + params.top;
  let w = column - row * params.width + params.left;
  let at = Place(n, h, w, item - column * params.channels);
  // The last window that begins at or before the element.
  let p_last = h / STRIDE_H;
  let q_last = w / STRIDE_W;
  var sum = Elem(0.0);
  if (APART == 1u) { // @static
    let covers = p_last < params.out_height && q_last < params.out_width &&
      h - p_last * STRIDE_H < KERNEL_H && w - q_last * STRIDE_W < KERNEL_W;
    if (covers) {
      sum = share(at, p_last, q_last);
    }
  }
  if (APART == 0u) { // @static
    let p_end = min(p_last + 1u, params.out_height);
    let q_begin = first_window(w, KERNEL_W, STRIDE_W);
    let q_end = min(q_last + 1u, params.out_width);
    for (var p = first_window(h, KERNEL_H, STRIDE_H); p < p_end; p++) {
      for (var q = q_begin; q < q_end; q++) {
        sum += share(at, p, q);
      }
    }
  }
  dX[item] = sum;
}
