// Mean and squared deviations of every channel over a part of each map's positions: the first pass of
// group normalisation.
//
//   parts[0, n, p, c] = mean over the positions i of part p of x[n, i, c] - o
//   parts[1, n, p, c] = sum of the squared deviations from it
//
// with o = x[n, 0, c], so that a large mean costs no digits. Part p = slice * phases + phase has every
// phases-th position of its slice, from `phase` on; the groups of the normalisation do not matter yet.
//
// Shapes: x: Elem[N, positions, channels]; parts: Elem[2, N, slices * phases, channels].
// An invocation owns OWNED elements side by side at each of its positions.
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y.
// Numerics: f32. Four positions get mean and deviations from registers in two passes and are merged as
// Chan, Golub and LeVeque do ("Updating formulae and a pairwise algorithm for computing sample
// variances", 1979): as exact as two reads, at the price of one. The order is always the same.

alias Elem = vec4<f32>; // @spec
const OWNED: u32 = 1u; // @spec a divisor of the channels, in units of Elem

override WORKGROUP: u32 = 8u;

struct Params {
  invocations: u32, // N * slices * phases * channels / OWNED
  channels: u32, // in units of Elem
  positions: u32,
  slices: u32,
  slice_rows: u32, // a multiple of phases
  phases: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Elem>;
@group(0) @binding(1) var<storage, read_write> parts: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

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
  let map = slice / params.slices * params.positions * channels + place;
  let first = slice % params.slices * params.slice_rows;
  let begin = map + (first + part % params.phases) * channels;
  let end = map + min(params.positions, first + params.slice_rows) * channels;
  let step = params.phases * channels;
  var origin: array<Elem, OWNED>;
  var mean: array<Elem, OWNED>;
  var deviations: array<Elem, OWNED>;
  for (var g = 0u; g < OWNED; g++) { // @unroll
    origin[g] = x[map + g];
    mean[g] = Elem(0.0);
    deviations[g] = Elem(0.0);
  }
  var rows = 0.0;
  var e = begin;
  for (; e + 3u * step < end; e += 4u * step) {
    let share = 4.0 / (rows + 4.0);
    let weight = share * rows;
    for (var g = 0u; g < OWNED; g++) { // @unroll
      let a = x[e + g] - origin[g];
      let b = x[e + step + g] - origin[g];
      let c = x[e + 2u * step + g] - origin[g];
      let d = x[e + 3u * step + g] - origin[g];
      let four = ((a + b) + (c + d)) * 0.25;
      let da = a - four;
      let db = b - four;
      let dc = c - four;
      let dd = d - four;
      let apart = four - mean[g];
      mean[g] += apart * share;
      deviations[g] += ((da * da + db * db) + (dc * dc + dd * dd)) + apart * apart * weight;
    }
    rows += 4.0;
  }
  for (; e < end; e += step) {
    let share = 1.0 / (rows + 1.0);
    for (var g = 0u; g < OWNED; g++) { // @unroll
      let apart = (x[e + g] - origin[g]) - mean[g];
      mean[g] += apart * share;
      deviations[g] += apart * apart * (share * rows);
    }
    rows += 1.0;
  }
  let size = params.invocations * OWNED;
  for (var g = 0u; g < OWNED; g++) { // @unroll
    parts[at * OWNED + g] = mean[g];
    parts[size + at * OWNED + g] = deviations[g];
  }
}
