// Normalises maps by a table of group_norm_merge.wgsl: the third pass of group normalisation.
//
//   u = ((x - origin) - centre) * scale + shift;  y = u, with SILU y = u / (1 + exp(-u))
//
// Shapes: x, y: Elem[N, positions, channels]; table: Elem[4, N, channels].
// Slices, phases and what an invocation owns as in group_norm_statistics.wgsl; an invocation keeps its
// part of the table.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y. One read of x, one write of y.

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
@group(0) @binding(1) var<storage, read> table: array<Elem>;
@group(0) @binding(2) var<storage, read_write> y: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

fn activated(u: Elem) -> Elem {
  if (SILU == 1u) { // @static
    return u / (1.0 + exp(min(-u, Elem(87.0))));
  }
  return u;
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
  var origin: array<Elem, OWNED>;
  var centre: array<Elem, OWNED>;
  var scale: array<Elem, OWNED>;
  var shift: array<Elem, OWNED>;
  for (var g = 0u; g < OWNED; g++) { // @unroll
    origin[g] = table[entry + g];
    centre[g] = table[block + entry + g];
    scale[g] = table[2u * block + entry + g];
    shift[g] = table[3u * block + entry + g];
  }
  for (var e = map + (first + part % params.phases) * channels; e < end; e += step) {
    for (var g = 0u; g < OWNED; g++) { // @unroll
      y[e + g] = activated(((x[e + g] - origin[g]) - centre[g]) * scale[g] + shift[g]);
    }
  }
}
