// Gradient of group normalisation with respect to its input, by a table of
// group_norm_gradient_fold.wgsl: the third pass.
//
//   dX = scale * d - (x - mean) * slope - shift
//
// d = dY; with SILU d = dY s (1 + u (1 - s)), u = (x - mean) * scale + bias, s = 1 / (1 + exp(-u)).
//
// Shapes: x, dY, dX: Elem[N, positions, channels]; table: Elem[4, N, channels]; bias: Elem[channels]
// (not read without SILU).
// Slices, phases and what an invocation owns as in group_norm_statistics.wgsl.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y.

alias Elem = vec4<f32>; // @spec
const OWNED: u32 = 1u; // @spec
const SILU: u32 = 0u; // @spec

override WORKGROUP: u32 = 8u;

struct Params {
  invocations: u32,
  channels: u32, // in units of Elem
  positions: u32,
  slices: u32,
  slice_rows: u32,
  phases: u32,
  block: u32, // N * channels
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read> d_y: array<Elem>;
@group(0) @binding(2) var<storage, read> table: array<Elem>;
@group(0) @binding(3) var<storage, read> bias: array<Elem>;
@group(0) @binding(4) var<storage, read_write> d_x: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

// The gradient before the activation.
fn before(d: Elem, u: Elem) -> Elem {
  if (SILU == 1u) { // @static
    let s = 1.0 / (1.0 + exp(min(-u, Elem(87.0))));
    return d * (s + u * s * (1.0 - s));
  }
  return d;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let at = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (at >= params.invocations) {
    return;
  }
  let channels = params.channels;
  let lanes = channels / OWNED;
  let place = at % lanes * OWNED;
  let part = at / lanes;
  let slice = part / params.phases;
  let n = slice / params.slices;
  let map = n * params.positions * channels + place;
  let first = slice % params.slices * params.slice_rows;
  let end = map + min(params.positions, first + params.slice_rows) * channels;
  let step = params.phases * channels;
  let block = params.block;
  let entry = n * channels + place;
  var mean: array<Elem, OWNED>;
  var scale: array<Elem, OWNED>;
  var slope: array<Elem, OWNED>;
  var shift: array<Elem, OWNED>;
  var summand: array<Elem, OWNED>;
  for (var g = 0u; g < OWNED; g++) { // @unroll
    mean[g] = table[entry + g];
    scale[g] = table[block + entry + g];
    slope[g] = table[2u * block + entry + g];
    shift[g] = table[3u * block + entry + g];
    if (SILU == 1u) { // @static
      summand[g] = bias[place + g];
    }
  }
  for (var e = map + (first + part % params.phases) * channels; e < end; e += step) {
    for (var g = 0u; g < OWNED; g++) { // @unroll
      let apart = x[e + g] - mean[g];
      let d = before(d_y[e + g], apart * scale[g] + summand[g]);
      d_x[e + g] = d * scale[g] - (apart * slope[g] + shift[g]);
    }
  }
}
