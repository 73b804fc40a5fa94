// The gradient of a resizing to the nearest element: every element gathers from its copies.
//
//   dX[n, h, w, c] = sum of dY[n, p, q, c] over floor(p height / out_height) = h and
//                    floor(q width / out_width) = w
//
// Shapes: dY: Elem[N, out_height, out_width, channels]; dX: Elem[N, height, width, channels].
// Dispatch: gridFor(items, 64), items = all elements of dX; the grid folds x into y. Nothing is atomic.

alias Elem = vec4<f32>; // @spec

struct Params {
  items: u32,
  channels: u32, // in units of Elem
  height: u32,
  width: u32,
  out_height: u32,
  out_width: u32,
}

@group(0) @binding(0) var<storage, read> dY: array<Elem>;
@group(0) @binding(1) var<storage, read_write> dX: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// The first of out positions that reads position `at` of `length`.
fn first_copy(at: u32, length: u32, out: u32) -> u32 {
  return (at * out + length - 1u) / length;
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
  let c = item - column * params.channels;
  let row = column / params.width;
  let n = row / params.height;
  let h = (row - n * params.height);
  let w = (column - row * params.width);
  let p_end = first_copy(h + 1u, params.height, params.out_height);
  let q_begin = first_copy(w, params.width, params.out_width);
  let q_end = first_copy(w + 1u, params.width, params.out_width);
  var sum = Elem(0.0);
  for (var p = first_copy(h, params.height, params.out_height); p < p_end; p++) {
    let line = (n * params.out_height + p) * params.out_width;
    for (var q = q_begin; q < q_end; q++) {
      sum += dY[(line + q) * params.channels + c];
    }
  }
  dX[item] = sum;
}
