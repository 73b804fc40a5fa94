// The sum of two arrays, and where RELU is 1 its positive part.
//
//   y = a + b, or max(a + b, 0)
//
// Shapes: a, b, y: Elem[end or more]. Elements begin to end are read and written.
// Dispatch: gridFor(end - begin, 64); the grid folds x into y.

alias Elem = vec4<f32>; // @spec
const RELU: u32 = 0u; // @spec

struct Params {
  begin: u32,
  end: u32,
}

@group(0) @binding(0) var<storage, read> a: array<Elem>;
@group(0) @binding(1) var<storage, read> b: array<Elem>;
@group(0) @binding(2) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let i = params.begin + (wid.y * grid.x + wid.x) * 64u + lane;
  if (i < params.end) {
    var sum = a[i] + b[i];
    if (RELU == 1u) { // @static
      sum = max(sum, Elem(0.0));
    }
    y[i] = sum;
  }
}
