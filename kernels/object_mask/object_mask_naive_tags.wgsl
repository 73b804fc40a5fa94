// Which in-distribution tags of an image are used: the baseline. One image per invocation, scalar
// loads. What is predicted, `only` and the fallback are as in object_mask.wgsl.
//
//   used[n, v] = 1 where tag v is used, else 0
//   tagged[n] = number of predicted tags; score[n] = sigmoid of their largest logit
//
// Shapes: tag_logits: f32[images, outputs], row-major; tags: i32[count]; thresholds: f32[count];
// only: i32[images]; used: i32[images, count]; tagged: i32[images]; score: f32[images].
// Dispatch: gridFor(images, 64); the grid folds x into y.

override HAS_ONLY: bool = false;
override FALLBACK: bool = false;

const LOWEST = -3.4028234e38;
const NONE = 0xffffffffu;

struct Params {
  images: u32,
  outputs: u32, // tags of the tagger, M
  count: u32, // in-distribution tags, V
}

@group(0) @binding(0) var<storage, read> tag_logits: array<f32>;
@group(0) @binding(1) var<storage, read> tags: array<i32>;
@group(0) @binding(2) var<storage, read> thresholds: array<f32>;
@group(0) @binding(3) var<storage, read> only: array<i32>;
@group(0) @binding(4) var<storage, read_write> used: array<i32>;
@group(0) @binding(5) var<storage, read_write> tagged: array<i32>;
@group(0) @binding(6) var<storage, read_write> score: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

@compute @workgroup_size(64)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let image = (wid.y * grid.x + wid.x) * 64u + local;
  if (image >= params.images) {
    return;
  }
  var number = 0;
  var top = LOWEST;
  var margin = LOWEST;
  var best = NONE;
  for (var v = 0u; v < params.count; v++) {
    let tag = u32(tags[v]);
    let at = image * params.count + v;
    used[at] = 0;
    if (tag < params.outputs) {
      let logit = tag_logits[image * params.outputs + tag];
      if (logit > thresholds[v]) {
        number++;
        used[at] = select(1, 0, HAS_ONLY);
      }
      if (logit > top) {
        top = logit;
      }
      if (logit - thresholds[v] > margin) {
        margin = logit - thresholds[v];
        best = v;
      }
    }
  }
  var added = NONE;
  if (HAS_ONLY) {
    added = u32(only[image]);
  } else if (FALLBACK && number == 0) {
    added = best;
  }
  if (added < params.count) {
    used[image * params.count + added] = select(0, 1, u32(tags[added]) < params.outputs);
  }
  tagged[image] = number;
  let e = exp(-abs(top));
  score[image] = select(e, 1.0, top >= 0.0) / (1.0 + e);
}
