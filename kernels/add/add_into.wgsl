// Adds a multiple of an array to another one in place.
//
//   y += factor * x
//
// Shapes: x, y: Elem[end or more]. Elements begin to end are read, those of y written.
// Dispatch: gridFor(end - begin, 64); the grid folds x into y.

alias Elem = vec4<f32>; // @spec

struct Params {
  begin: u32,
  end: u32,
  factor: f32,
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
  let i = params.begin + (wid.y * grid.x + wid.x) * 64u + lane;
  if (i < params.end) {
    y[i] = fma(Elem(params.factor), x[i], y[i]);
  }
}
