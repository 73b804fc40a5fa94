// Which token each packed row comes from.
//
//   places[offsets[n] + k] = n tokens + t of the k-th token t of image n with keep[n, t] = 1
//
// What would lie behind the last place is left out; places behind the last list are not written.
//
// Shapes: keep: i32[images, tokens], row-major, 0 or 1; offsets: i32[images + 1];
// places: u32[capacity].
// Dispatch: gridFor(images, WORKGROUP / LANES); the grid folds x into y. LANES invocations share an
// image: 1 is the serial variant, WORKGROUP the tree variant, in which each lane has a run of
// neighbouring tokens. Loop turns of an invocation: 2 ceil(tokens / LANES) + LANES.

override WORKGROUP: u32 = 8u;

// A power of two that divides WORKGROUP. Marked, so that one lane leaves no workgroup memory behind to
// be cleared.
const LANES: u32 = 1u; // @spec

struct Params {
  images: u32,
  tokens: u32,
  capacity: u32,
}

@group(0) @binding(0) var<storage, read> keep: array<i32>;
@group(0) @binding(1) var<storage, read> offsets: array<i32>;
@group(0) @binding(2) var<storage, read_write> places: array<u32>;
@group(1) @binding(0) var<uniform> params: Params;

var<workgroup> shared_counts: array<u32, WORKGROUP>;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let image = (wid.y * grid.x + wid.x) * (WORKGROUP / LANES) + local / LANES;
  let lane = local % LANES;
  let inside = image < params.images;
  let run = (params.tokens + LANES - 1u) / LANES;
  let begin = image * params.tokens + min(params.tokens, lane * run);
  var end = image * params.tokens + min(params.tokens, (lane + 1u) * run);
  end = select(begin, end, inside);
  var place = 0u;
  if (LANES > 1u) { // @static
    var count = 0u;
    for (var i = begin; i < end; i++) {
      count += u32(keep[i]);
    }
    shared_counts[local] = count;
    workgroupBarrier();
    for (var other = local - lane; other < local; other++) {
      place += shared_counts[other];
    }
  }
  if (inside) {
    place += u32(offsets[image]);
  }
  for (var i = begin; i < end; i++) {
    if (keep[i] == 1) {
      if (place < params.capacity) {
        places[place] = i;
      }
      place++;
    }
  }
}
