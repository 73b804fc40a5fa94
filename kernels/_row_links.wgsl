// Which sample of a batch is the first with its label, and which one comes next with it.
//
//   links[i] = (1 where no sample before i has its label, else 0; the next sample with its label, or -1)
//
// A sample whose label is no class is not the first of one.
//
// Shapes: labels: i32[samples]; links: vec2<i32>[end - begin], for the samples begin to end - 1 and
// relative to begin.
// Dispatch: gridFor(end - begin, WORKGROUP), an invocation for each sample, which looks at the labels
// of all others up to those that are like its own; the grid folds x into y.

override WORKGROUP: u32 = 8u;

struct Params {
  begin: u32,
  end: u32,
  classes: u32,
}

@group(0) @binding(0) var<storage, read> labels: array<i32>;
@group(0) @binding(1) var<storage, read_write> links: array<vec2<i32>>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  let sample = params.begin + item;
  if (sample >= params.end) {
    return;
  }
  let label = labels[sample];
  var before = sample;
  while (before > params.begin && labels[before - 1u] != label) {
    before -= 1u;
  }
  var next = sample + 1u;
  while (next < params.end && labels[next] != label) {
    next += 1u;
  }
  let first = before == params.begin && label >= 0 && label < i32(params.classes);
  links[item] = vec2<i32>(
    select(0, 1, first),
    select(-1, i32(next - params.begin), next < params.end),
  );
}
