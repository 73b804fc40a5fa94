// Zeros in a range of an array, before sums are added to some of it.
//
// Shapes: y: Elem[any]; elements begin to end - 1 are written.
// Dispatch: gridFor(end - begin, 64), an invocation for each element; the grid folds x into y.

alias Elem = vec4<f32>; // @spec

struct Params {
  begin: u32, // in units of Elem
  end: u32,
}

@group(0) @binding(0) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = params.begin + (wid.y * grid.x + wid.x) * 64u + lane;
  if (item < params.end) {
    y[item] = Elem(0.0);
  }
}
