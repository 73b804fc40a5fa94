// Histogram of the keys of a chunk: the baseline. One atomic addition in storage per element.
//
// A key orders as its element does. A pass looks at one digit of the keys: `bins` of them, `shift`
// bits from the right. An element counts in the first table when the digits above are `prefix`, and
// else in the second when they are `other_prefix`.
//
//   histogram[digit] += 1, histogram[bins + digit] += 1, histogram[2 bins] += 1 for each NaN
//
// Shapes: x: f32[count]; histogram: u32[2 bins + 1], added to; a chunk has less than 2^32 elements.
// Dispatch: gridFor(count, 64); the grid folds x into y.

struct Params {
  count: u32,
  bins: u32, // a power of two
  shift: u32,
  above: u32, // bits above the digit, 0 in the first pass
  prefix: u32,
  other_prefix: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> unused: array<vec4<f32>>; // as in the other variants
@group(0) @binding(2) var<storage, read_write> histogram: array<atomic<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  _ = &unused;
  let i = (wid.y * grid.x + wid.x) * 64u + local;
  if (i >= params.count) {
    return;
  }
  let bits = bitcast<u32>(x[i]);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    atomicAdd(&histogram[2u * params.bins], 1u);
    return;
  }
  let key = select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
  let digit = (key >> params.shift) & (params.bins - 1u);
  var upper = 0u;
  if (params.above > 0u) {
    upper = key >> (32u - params.above);
  }
  if (upper == params.prefix) {
    atomicAdd(&histogram[digit], 1u);
  } else if (upper == params.other_prefix) {
    atomicAdd(&histogram[params.bins + digit], 1u);
  }
}
