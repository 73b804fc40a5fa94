// Moves the centre of each class towards its samples, one after the other in the order of the batch.
//
//   centres[c] = (1 - rate) centres[c] + rate features[i] for i = begin, begin + 1, …, c = labels[i]
//
// Samples whose label is no class are passed over.
//
// Shapes: features: Elem[samples, columns], row-major; labels: i32[samples];
// centres: Elem[classes, columns], in place.
// Dispatch: gridFor((end - begin) LANES, WORKGROUP); the grid folds x into y. LANES invocations share
// a sample, each owns every LANES-th element. Only those of the first sample of a class go on, and do
// all samples of that class: nobody else writes to its centre, so nothing is atomic and the order is
// that of the batch. At most 1024 samples a run.
// Numerics: f32; a rate of 0 or 1 leaves or takes a value as it is.
//
// 1. naive: update_centres_naive.wgsl, every class looks at every label. 2. this. Figures in
// docs/kernels/training.md.

override WORKGROUP: u32 = 8u; // invocations per workgroup
override LANES: u32 = 8u; // invocations per sample

alias Elem = vec4<f32>; // @spec

struct Params {
  begin: u32, // first sample
  end: u32, // sample behind the last one
  columns: u32, // in units of Elem
  classes: u32,
  rate: f32,
}

@group(0) @binding(0) var<storage, read> features: array<Elem>;
@group(0) @binding(1) var<storage, read> labels: array<i32>;
@group(0) @binding(2) var<storage, read_write> centres: array<Elem>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  let sample = params.begin + item / LANES;
  if (sample >= params.end) {
    return;
  }
  let label = labels[sample];
  if (label < 0 || label >= i32(params.classes)) {
    return;
  }
  for (var i = params.begin; i < sample; i++) {
    if (labels[i] == label) {
      return;
    }
  }
  let columns = params.columns;
  let centre = u32(label) * columns;
  let kept = 1.0 - params.rate;
  for (var i = sample; i < params.end; i++) {
    if (labels[i] == label) {
      for (var c = item % LANES; c < columns; c += LANES) {
        centres[centre + c] = kept * centres[centre + c] + params.rate * features[i * columns + c];
      }
    }
  }
}
