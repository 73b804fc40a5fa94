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
// block: 1 is the serial variant, WORKGROUP the tree variant. Loop turns of an invocation: run / 2.

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

// Four elements from the i-th on, zeros behind the last one.
fn four(i: u32) -> vec4<i32> {
  if (i + 3u < params.length) {
    return x4[i >> 2u];
  }
  var some = vec4<i32>(x[i], 0, 0, 0);
  if (i + 1u < params.length) {
    some.y = x[i + 1u];
  }
  if (i + 2u < params.length) {
    some.z = x[i + 2u];
  }
  return some;
}

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
  if (LANES > 1u) { // @static
    // Inclusive sums over the lanes, by doubling; then what lies before this lane.
    var sums4 = vec4<i32>(0);
    for (var i = begin; i < end; i += 4u) {
      sums4 += four(i);
    }
    let own = (sums4.x + sums4.y) + (sums4.z + sums4.w);
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
  for (var i = begin; i < end; i += 4u) {
    let v = four(i);
    y[i] = sum;
    sum += v.x;
    if (i + 1u < end) {
      y[i + 1u] = sum;
      sum += v.y;
    }
    if (i + 2u < end) {
      y[i + 2u] = sum;
      sum += v.z;
    }
    if (i + 3u < end) {
      y[i + 3u] = sum;
      sum += v.w;
    }
  }
  // The lane that has the last element, or of none at all the first lane.
  let ends = end == params.length && begin < end;
  if (inside && (ends || (params.length == 0u && block == 0u && lane == 0u))) {
    y[params.length] = sum;
  }
}
