// Sums of blocks of LANES * run integers, the first pass of prefix sums over more than one block.
//
//   sums[b] = sum of the elements b LANES run to (b + 1) LANES run - 1 of x
//
// Shapes: x: i32[length], bound twice (scalars and vec4, the same memory); sums: i32[blocks]. run is a
// multiple of 4.
// Dispatch: gridFor(blocks, WORKGROUP / LANES); the grid folds x into y. LANES invocations share a
// block: 1 is the serial variant, WORKGROUP the tree variant. Loop turns of an invocation: run / 4 + 3.

override WORKGROUP: u32 = 8u;

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
@group(0) @binding(2) var<storage, read_write> sums: array<i32>;
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
  var begin = params.length;
  if (block < params.blocks) {
    begin = min(params.length, (block * LANES + lane) * params.run);
  }
  let end = min(params.length, begin + params.run);
  var sums4 = vec4<i32>(0);
  var i = begin;
  for (; i + 4u <= end; i += 4u) {
    sums4 += x4[i >> 2u];
  }
  var sum = (sums4.x + sums4.y) + (sums4.z + sums4.w);
  for (; i < end; i++) {
    sum += x[i];
  }
  if (LANES > 1u) { // @static
    shared_sums[local] = sum;
    for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        sum += shared_sums[local + stride];
        shared_sums[local] = sum;
      }
    }
  }
  if (lane == 0u && block < params.blocks) {
    sums[block] = sum;
  }
}
