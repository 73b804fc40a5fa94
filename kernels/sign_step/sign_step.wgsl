// A step against the sign of a gradient, of its own length for each channel.
//
//   y[i] = x[i] - step[i mod period] s,  s = -1 where gradient[i] < 0, else 1
//
// A gradient of zero counts as positive, and so does NaN.
//
// Shapes: x, gradient, y: Elem[end or more], channels last; steps: Elem[period], the channels' steps
// repeated until whole Elems are full. Elements begin to end are read and written.
// Dispatch: gridFor(end - begin, 64); the grid folds x into y.

alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

struct Params {
  begin: u32,
  end: u32,
  period: u32, // floats of steps, a multiple of 4
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> gradient: array<Elem>;
@group(0) @binding(2) var<storage, read> steps: array<Elem>;
@group(0) @binding(3) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = params.begin + (wid.y * grid.x + wid.x) * 64u + lane;
  if (i < params.end) {
    let step = steps[i % (params.period / WIDTH)];
    y[i] = x[i] - select(step, -step, gradient[i] < Elem(0.0));
  }
}
