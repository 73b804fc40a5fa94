// Histogram of the keys of a chunk, with a histogram of its own per workgroup.
//
// A key orders as its element does. A pass looks at one digit of the keys: `bins` of them, `shift`
// bits from the right. An element counts in the first table when the digits above are `prefix`, and
// else in the second when they are `other_prefix`.
//
//   histogram[digit] += 1, histogram[bins + digit] += 1, histogram[2 bins] += 1 for each NaN
//
// Shapes: x: f32[count], bound twice (scalars and vec4, the same memory); histogram: u32[2 bins + 1],
// added to; a chunk has less than 2^32 elements. bins <= BINS.
// Dispatch: gridFor(groups of four + 1, WORKGROUP * TURNS); the grid folds x into y. A workgroup reads
// WORKGROUP * TURNS groups of four, side by side, and then adds its counts once. Integers only, so
// the order of the atomic additions does not matter.
// Workgroup memory: 16 KiB, what every device has, hence the NaN count in storage.

const WORKGROUP = 256u;
const TURNS = 64u; // groups of four per invocation

const BINS = 2048u;

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

var<workgroup> counts: array<atomic<u32>, 2u * BINS>;

fn count_one(value: f32) {
  let bits = bitcast<u32>(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) {
    atomicAdd(&histogram[2u * params.bins], 1u);
    return;
  }
  let key = select(bits | 0x80000000u, ~bits, (bits & 0x80000000u) != 0u);
  let digit = (key >> params.shift) & (params.bins - 1u);
  // A shift by 32 is undefined, so the first pass, which has nothing above, shifts in two steps.
  let upper = (key >> (31u - params.above)) >> 1u;
  if (upper == params.prefix) {
    atomicAdd(&counts[digit], 1u);
  } else if (upper == params.other_prefix) {
    atomicAdd(&counts[params.bins + digit], 1u);
  }
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let groups = params.count >> 2u;
  let begin = (wid.y * grid.x + wid.x) * WORKGROUP * TURNS;
  for (var turn = 0u; turn < TURNS; turn++) {
    let j = begin + turn * WORKGROUP + local;
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
  workgroupBarrier();
  for (var i = local; i < 2u * params.bins; i += WORKGROUP) {
    let count = atomicLoad(&counts[i]);
    if (count > 0u) {
      atomicAdd(&histogram[i], count);
    }
  }
}
