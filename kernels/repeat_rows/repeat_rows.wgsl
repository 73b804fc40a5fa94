// A matrix again and again.
//
//   y[t, i] = x[i] for all repeats t
//
// Shapes: x: Elem[size], all elements of a matrix; y: Elem[times, size].
// Dispatch: gridFor(size ceil(times / run), 64); the grid folds x into y. An invocation reads one
// element and writes it `run` times.

alias Elem = vec4<f32>; // @spec

struct Params {
  items: u32, // size * ceil(times / run)
  size: u32, // in units of Elem
  times: u32,
  run: u32, // repeats of an invocation
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
  let part = item / params.size;
  let i = item - part * params.size;
  let value = x[i];
  let end = min(params.times, (part + 1u) * params.run);
  for (var t = part * params.run; t < end; t++) {
    y[t * params.size + i] = value;
  }
}
