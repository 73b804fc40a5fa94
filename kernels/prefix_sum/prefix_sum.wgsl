// Exclusive prefix sums, block by block.
//
//   y[i] = before[b] + sum of the elements of x from the begin of block b to i - 1;
//   y[length] = the same with i = length, of the last block
//
// with before[b] = 0 without HAS_BEFORE. A block has LANES * run elements.
//
// Shapes: x: i32[length], bound twice (scalars and vec4, the same memory); before: i32[blocks + 1] or
// longer; y: i32[length + 1]. run is a multiple of 4. Sums wrap at 2^31.
// Dispatch: gridFor(blocks, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// block: 1 is the serial variant, WORKGROUP the tree variant. Loop turns of an invocation: run / 2 + 16.

override WORKGROUP: u32 = 8u;
override HAS_BEFORE: bool = false;

// A power of two that divides WORKGROUP. Marked, so that one lane leaves no workgroup memory behind to
// be cleared.
const LANES: u32 = 1u; // @spec

struct Params {
  length: u32,
  run: u32, // elements of a lane
  blocks: u32,
}

@group(0) @binding(0) var<storage, read> x: array<i32>;
@group(0) @binding(1) var<storage, read> x4: array<vec4<i32>>;
@group(0) @binding(2) var<storage, read> before: array<i32>;
@group(0) @binding(3) var<storage, read_write> y: array<i32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_sums: array<i32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let block = (wid.y * grid.x + wid.x) * (WORKGROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let inside = block < params.blocks;
  var begin = params.length;
  if (inside) {
    begin = min(params.length, (block * LANES + lane) * params.run);
  }
  let end = min(params.length, begin + params.run);
  var sum = 0;
  var i = begin;
  if (LANES > 1u) { // @static
    // Inclusive sums over the lanes, by doubling; then what lies before this lane.
    var sums4 = vec4<i32>(0);
    for (; i + 4u <= end; i += 4u) {
      sums4 += x4[i >> 2u];
    }
    var own = (sums4.x + sums4.y) + (sums4.z + sums4.w);
    for (; i < end; i++) {
      own += x[i];
    }
    i = begin;
    sum = own;
    shared_sums[local] = sum;
    for (var stride = 1u; stride < LANES; stride *= 2u) {
      workgroupBarrier();
      var other = 0;
      if (lane >= stride) {
        other = shared_sums[local - stride];
      }
      workgroupBarrier();
      sum += other;
      shared_sums[local] = sum;
    }
    sum -= own;
  }
  if (HAS_BEFORE && inside) {
    sum += before[block];
  }
  for (; i + 4u <= end; i += 4u) {
    let v = x4[i >> 2u];
    let two = sum + v.x;
    let three = two + v.y;
    let four = three + v.z;
    y[i] = sum;
    y[i + 1u] = two;
    y[i + 2u] = three;
    y[i + 3u] = four;
    sum = four + v.w;
  }
  for (; i < end; i++) {
    y[i] = sum;
    sum += x[i];
  }
  // The lane that has the last element, or of none at all the first lane.
  let ends = end == params.length && begin < end;
  if (inside && (ends || (params.length == 0u && block == 0u && lane == 0u))) {
    y[params.length] = sum;
  }
}
