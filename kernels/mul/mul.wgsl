// The product of two arrays, element by element, or of maps with one factor per map and channel.
//
//   y[i] = a[i] b[i], or with BROADCAST 1: y[n, p, c] = a[n, p, c] b[n, c]
//
// Shapes: a, y: Elem[end or more], as Elem[N, plane / channels, channels] where BROADCAST is 1; b as
// a, or Elem[N, channels]. Elements begin to end are read and written.
// Dispatch: gridFor(end - begin, 64); the grid folds x into y.

alias Elem = vec4<f32>; // @spec
const BROADCAST: u32 = 0u; // @spec

struct Params {
  begin: u32,
  end: u32,
  plane: u32, // elements of one map, in units of Elem
  channels: u32, // in units of Elem
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
    var j = i;
    if (BROADCAST == 1u) { // @static
      j = i / params.plane * params.channels + i % params.channels;
    }
    y[i] = a[i] * b[j];
  }
}
