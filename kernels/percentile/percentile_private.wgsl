// Histogram of the keys of a chunk, with a histogram of its own per invocation, in private memory.
//
// A key orders as its element does. A pass looks at one digit of the keys: `bins` of them, `shift`
// bits from the right. An element counts in the first table when the digits above are `prefix`, and
// else in the second when they are `other_prefix`.
//
//   histogram[digit] += 1, histogram[bins + digit] += 1, histogram[2 bins] += 1 for each NaN
//
// Shapes: x: f32[count], bound twice (scalars and vec4, the same memory); histogram: u32[2 bins + 1],
// added to; a chunk has less than 2^32 elements. bins <= BINS.
// Dispatch: gridFor(groups of four + 1, 8 * TURNS); the grid folds x into y. An invocation reads TURNS
// groups of four and then adds its counts. Integers only, so the order of the atomic additions does
// not matter.
//
// Made for adapters that compute on the CPU: there a private array costs 2 ns per access and an
// atomic addition 10. Larger tables take minutes to compile.

const TURNS = 1024u; // groups of four per invocation
const BINS = 256u;
const NAN_BIN = 2u * BINS;
const OTHER_BIN = 2u * BINS + 1u; // elements with other digits above

struct Params {
  count: u32,
  bins: u32, // a power of two
  shift: u32,
  above: u32, // bits above the digit, 0 in the first pass
  prefix: u32,
  other_prefix: u32,
}

@group(0) @binding(0) var<storage, read> x: array<f32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read_write> histogram: array<atomic<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

var<private> counts: array<u32, 2u * BINS + 2u>;

fn count_one(value: f32) {
  let bits = bitcast<u32>(value);
  let key = select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
  let digit = (key >> params.shift) & (params.bins - 1u);
  // A shift by 32 is undefined, so the first pass, which has nothing above, shifts in two steps.
  let upper = (key >> (31u - params.above)) >> 1u;
  var bin = select(OTHER_BIN, BINS + digit, upper == params.other_prefix);
  bin = select(bin, digit, upper == params.prefix);
  bin = select(bin, NAN_BIN, (bits & 0x7fffffffu) > 0x7f800000u);
  counts[bin] += 1u;
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let groups = params.count >> 2u;
  let begin = (wid.y * grid.x + wid.x) * 8u * TURNS + local;
  for (var turn = 0u; turn < TURNS; turn++) {
    let j = begin + turn * 8u;
    if (j < groups) {
      let v = x4[j];
      count_one(v.x);
      count_one(v.y);
      count_one(v.z);
      count_one(v.w);
    } else if (j == groups) {
      for (var i = 4u * groups; i < params.count; i++) {
        count_one(x[i]);
      }
    }
  }
  for (var bin = 0u; bin < BINS; bin++) {
    if (counts[bin] > 0u) {
      atomicAdd(&histogram[bin], counts[bin]);
    }
    if (counts[BINS + bin] > 0u) {
      atomicAdd(&histogram[params.bins + bin], counts[BINS + bin]);
    }
  }
  if (counts[NAN_BIN] > 0u) {
    atomicAdd(&histogram[2u * params.bins], counts[NAN_BIN]);
  }
}
