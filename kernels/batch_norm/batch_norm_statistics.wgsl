// Mean and squared deviations of the columns of a matrix, chunk by chunk: the first pass of batch
// normalisation.
//
//   parts[0, p, c] = mean over the rows n of one chunk with n % phases = p % phases of x[n, c] - o
//   parts[1, p, c] = sum of the squared deviations from it
//
// with o = x[p % phases, c], so that a large mean costs no digits.
//
// Shapes: x: f32[rows, columns], row-major; parts: f32[2, chunks * phases, columns]; both as groups,
// of four elements where rows * columns is a multiple of four, else of one. All counts are in groups.
// A block is `phases` rows; an invocation owns GROUPS groups of every block of one chunk (see
// ../_columns.ts).
// Dispatch: gridFor(invocations, WORKGROUP); the grid folds x into y.
// Numerics: f32. Four rows get mean and deviations from registers in two passes and are merged as
// Chan, Golub and LeVeque do ("Updating formulae and a pairwise algorithm for computing sample
// variances", 1979): as exact as two reads, at the price of one. The order is always the same.

alias Group = vec4<f32>; // @spec
const GROUPS: u32 = 1u; // @spec groups of an invocation, a divisor of those of a block

override WORKGROUP: u32 = 8u;

struct Params {
  count: u32, // groups of x
  block: u32,
  chunk: u32,
  invocations: u32,
}

@group(0) @binding(0) var<storage, read> x: array<Group>;
@group(0) @binding(1) var<storage, read_write> parts: array<Group>;
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
  let block = params.block;
  let lanes = block / GROUPS;
  let place = at % lanes * GROUPS;
  let chunk = at / lanes * params.chunk;
  let end = min(params.count, chunk + params.chunk);
  var origin: array<Group, GROUPS>;
  var mean: array<Group, GROUPS>;
  var deviations: array<Group, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    origin[g] = x[place + g];
    mean[g] = Group(0.0);
    deviations[g] = Group(0.0);
  }
  var rows = 0.0;
  var e = chunk + place;
  for (; e + 3u * block + GROUPS <= end; e += 4u * block) {
    let share = 4.0 / (rows + 4.0);
    let weight = share * rows;
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      let a = x[e + g] - origin[g];
      let b = x[e + block + g] - origin[g];
      let c = x[e + 2u * block + g] - origin[g];
      let d = x[e + 3u * block + g] - origin[g];
      let four = ((a + b) + (c + d)) * 0.25;
      let da = a - four;
      let db = b - four;
      let dc = c - four;
      let dd = d - four;
      let step = four - mean[g];
      mean[g] += step * share;
      deviations[g] += ((da * da + db * db) + (dc * dc + dd * dd)) + step * step * weight;
    }
    rows += 4.0;
  }
  for (; e < end; e += block) {
    let share = 1.0 / (rows + 1.0);
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      // In the last block some rows may be missing.
      if (e + g < end) {
        let step = (x[e + g] - origin[g]) - mean[g];
        mean[g] += step * share;
        deviations[g] += step * step * (share * rows);
      }
    }
    rows += 1.0;
  }
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    parts[at * GROUPS + g] = mean[g];
    parts[(params.invocations + at) * GROUPS + g] = deviations[g];
  }
}
