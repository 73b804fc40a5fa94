// What share of a softmax falls to the in-distribution labels, from the states of a row product.
//
//   KIND 0: value = mean over g of S / (S + G_g), S the mass of the first part, G_g of part g
//   KIND 1: value = the largest share of the softmax over the first part, 1 / sum exp(z_j - max z)
//
// Shapes: first: f32[segments, rows], tops; second: u32[segments, rows], bits of the masses;
//   value: f32[rows]. Segments: those of the first part, then those of each of the others.
// Bindings: first, second, value. Dispatch: gridFor(rows, 8), folded from x into y.
// Each part keeps a top of its own until two of them meet, so nothing overflows and no share is lost
// to a part that is far larger. Parts are added in their order: runs agree to the bit.

override KIND: u32 = 0u;

struct Params {
  rows: u32,
  first_segments: u32,
  part_segments: u32,
  parts: u32, // other parts
}

@group(0) @binding(0) var<storage, read> first: array<f32>;
@group(0) @binding(1) var<storage, read> second: array<u32>;
@group(0) @binding(2) var<storage, read_write> value: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

/// Top and mass of some segments of a row.
fn merged(row: u32, begin: u32, count: u32) -> vec2<f32> {
  var top = first[begin * params.rows + row];
  var mass = bitcast<f32>(second[begin * params.rows + row]);
  for (var s = begin + 1u; s < begin + count; s++) {
    let other = first[s * params.rows + row];
    let higher = max(top, other);
    let added = bitcast<f32>(second[s * params.rows + row]) * exp(other - higher);
    mass = mass * exp(top - higher) + added;
    top = higher;
  }
  return vec2<f32>(top, mass);
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let row = (wid.y * grid.x + wid.x) * 8u + lane;
  if (row >= params.rows) {
    return;
  }
  let own = merged(row, 0u, params.first_segments);
  if (KIND == 1u) {
    value[row] = 1.0 / own.y;
    return;
  }
  var sum = 0.0;
  for (var p = 0u; p < params.parts; p++) {
    let begin = params.first_segments + p * params.part_segments;
    let group = merged(row, begin, params.part_segments);
    let top = max(own.x, group.x);
    let mass = own.y * exp(own.x - top);
    sum += mass / (mass + group.y * exp(group.x - top));
  }
  value[row] = sum / f32(params.parts);
}
