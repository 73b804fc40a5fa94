// Moves the centre of each class towards its samples, one after the other in the order of the batch.
//
//   centres[c] = (1 - rate) centres[c] + rate features[i] for i = begin, begin + 1, …, c = labels[i]
//
// Shapes: features: Elem[samples, columns], row-major; labels: i32[samples];
// links: vec2<i32>[end - begin], what _row_links.wgsl found in these samples;
// centres: Elem[classes, columns], in place.
// Dispatch: gridFor((end - begin) columns / GROUPS, WORKGROUP), GROUPS neighbouring elements for an
// invocation; the grid folds x into y. Only the invocations of the first sample of a class go on, and
// do all samples of that class: nobody else writes to its centre, so nothing is atomic and the order
// is that of the batch.
// Numerics: f32; a rate of 0 or 1 leaves or takes a value as it is.
//
// 1. naive: update_centres_naive.wgsl, every class looks at every label. 2. every invocation of a
// sample looks at the labels itself. 3. this. Figures in docs/kernels/training.md.

override WORKGROUP: u32 = 8u;

alias Elem = vec4<f32>; // @spec
const GROUPS: u32 = 4u; // @spec elements of an invocation, a divisor of columns

struct Params {
  begin: u32, // first sample
  end: u32, // sample behind the last one
  columns: u32, // in units of Elem
  rate: f32,
}

@group(0) @binding(0) var<storage, read> features: array<Elem>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read> links: array<vec2<i32>>;
@group(0) @binding(3) var<storage, read_write> centres: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  let columns = params.columns;
  let lanes = columns / GROUPS;
  let first = item / lanes;
  if (first >= params.end - params.begin || links[first].x == 0) {
    return;
  }
  let column = (item - first * lanes) * GROUPS;
  let centre = u32(labels[params.begin + first]) * columns + column;
  let kept = 1.0 - params.rate;
  var moved: array<Elem, GROUPS>;
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    moved[g] = centres[centre + g];
  }
  for (var i = i32(first); i >= 0; i = links[i].y) {
    let at = (params.begin + u32(i)) * columns + column;
    for (var g = 0u; g < GROUPS; g++) { // @unroll
      moved[g] = kept * moved[g] + params.rate * features[at + g];
    }
  }
  for (var g = 0u; g < GROUPS; g++) { // @unroll
    centres[centre + g] = moved[g];
  }
}
