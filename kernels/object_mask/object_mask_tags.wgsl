// Which in-distribution tags a tagger predicts, 32 tags per invocation.
//
//   logit_v = tag_logits[n, tags[v]]; predicted where logit_v > thresholds[v]
//   parts[n, w] = (bits of the predicted tags 32 w to 32 w + 31, bits of their largest logit,
//     bits of the largest logit - threshold, the lowest index that has it)
//
// A tag that is none of the tagger's counts as absent: not predicted, and its logit is not looked
// at. A NaN passes no comparison. Where there is nothing to take the largest of, LOWEST stands for it
// and NONE for the index.
//
// Shapes: tag_logits: f32[images, outputs], row-major; tags: i32[count] and thresholds: f32[count],
// each bound twice (scalars and vec4, the same memory); parts: vec4<u32>[images, words] with
// words = ceil(count / 32).
// Dispatch: gridFor(images words, WORKGROUP); the grid folds x into y.

override WORKGROUP: u32 = 8u;

const LOWEST = -3.4028234e38;
const NONE = 0xffffffffu;

struct Params {
  images: u32,
  outputs: u32, // tags of the tagger, M
  count: u32, // in-distribution tags, V
  words: u32,
}

@group(0) @binding(0) var<storage, read> tag_logits: array<f32>;
@group(0) @binding(1) var<storage, read> tags: array<i32>;
@group(0) @binding(2) var<storage, read> tags4: array<vec4<i32>>;
@group(0) @binding(3) var<storage, read> thresholds: array<f32>;
@group(0) @binding(4) var<storage, read> thresholds4: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> parts: array<vec4<u32>>;
@group(1) @binding(0) var<uniform> params: Params;

// Four tags from the v-th on, -1 behind the last one.
fn tags_from(v: u32) -> vec4<i32> {
  if (v + 3u < params.count) {
    return tags4[v >> 2u];
  }
  var some = vec4<i32>(tags[v], -1, -1, -1);
  if (v + 1u < params.count) {
    some.y = tags[v + 1u];
  }
  if (v + 2u < params.count) {
    some.z = tags[v + 2u];
  }
  return some;
}

fn thresholds_from(v: u32) -> vec4<f32> {
  if (v + 3u < params.count) {
    return thresholds4[v >> 2u];
  }
  var some = vec4<f32>(thresholds[v]);
  if (v + 1u < params.count) {
    some.y = thresholds[v + 1u];
  }
  if (v + 2u < params.count) {
    some.z = thresholds[v + 2u];
  }
  return some;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (item >= params.images * params.words) {
    return;
  }
  let image = item / params.words;
  let first = (item - image * params.words) * 32u;
  let end = min(first + 32u, params.count);
  var bits = 0u;
  var top = LOWEST;
  var margin = LOWEST;
  var best = NONE;
  for (var v = first; v < end; v += 4u) {
    let tag = tags_from(v);
    let threshold = thresholds_from(v);
    let known = vec4<u32>(tag) < vec4<u32>(params.outputs);
    let at = image * params.outputs + select(vec4<u32>(0u), vec4<u32>(tag), known);
    let logit = vec4<f32>(
      tag_logits[at.x],
      tag_logits[at.y],
      tag_logits[at.z],
      tag_logits[at.w],
    );
    let predicted = known & (logit > threshold);
    let flags = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), predicted);
    bits |= ((flags.x | flags.y) | (flags.z | flags.w)) << (v - first);
    let above = logit - threshold;
    for (var c = 0u; c < 4u; c++) { // @unroll
      if (known[c] && logit[c] > top) {
        top = logit[c];
      }
      if (known[c] && above[c] > margin) {
        margin = above[c];
        best = v + c;
      }
    }
  }
  parts[item] = vec4<u32>(bits, bitcast<u32>(top), bitcast<u32>(margin), best);
}
