// Which in-distribution tags a tagger predicts, 32 tags of IMAGES images per invocation.
//
//   logit_v = tag_logits[n, tags[v]]; predicted where logit_v > thresholds[v]
//   parts[n, w] = (bits of the predicted tags 32 w to 32 w + 31, bits of their largest logit,
//     bits of the largest logit - threshold, the lowest index that has it)
//
// the last two with FALLBACK only. A tag that is none of the tagger's counts as absent: not predicted,
// and its logit is not looked at. A NaN passes no comparison. Where there is nothing to take the
// largest of, LOWEST stands for it and NONE for the index.
//
// Shapes: tag_logits: f32[images, outputs], row-major; tags: i32[count] and thresholds: f32[count],
// each bound twice (scalars and vec4, the same memory); parts: vec4<u32>[images, words] with
// words = ceil(count / 32).
// Dispatch: gridFor(ceil(images / IMAGES) words, WORKGROUP); the grid folds x into y. Several images
// share the loads of tags and thresholds: 4 on a software adapter, which takes 145 instead of 180 µs
// for 64 images and 719 tags.

override WORKGROUP: u32 = 8u;
override FALLBACK: bool = false;

const IMAGES: u32 = 4u; // @spec

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

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let item = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  let image = item / params.words * IMAGES;
  if (image >= params.images) {
    return;
  }
  let word = item % params.words;
  let first = word * 32u;
  let end = min(first + 32u, params.count);
  // Of the tags v, v + 1, v + 2 and v + 3 apart until the end.
  var start: array<u32, IMAGES>;
  var bits: array<u32, IMAGES>;
  var top: array<vec4<f32>, IMAGES>;
  var margin: array<vec4<f32>, IMAGES>;
  var best: array<vec4<u32>, IMAGES>;
  for (var i = 0u; i < IMAGES; i++) { // @unroll
    start[i] = min(image + i, params.images - 1u) * params.outputs;
    top[i] = vec4<f32>(LOWEST);
    margin[i] = vec4<f32>(LOWEST);
    best[i] = vec4<u32>(NONE);
  }
  var v = first;
  for (; v + 4u <= end; v += 4u) {
    let tag = vec4<u32>(tags4[v >> 2u]);
    let threshold = thresholds4[v >> 2u];
    let known = tag < vec4<u32>(params.outputs);
    let at = select(vec4<u32>(0u), tag, known);
    for (var i = 0u; i < IMAGES; i++) { // @unroll
      let logit = vec4<f32>(
        tag_logits[start[i] + at.x],
        tag_logits[start[i] + at.y],
        tag_logits[start[i] + at.z],
        tag_logits[start[i] + at.w],
      );
      let flags = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), known & (logit > threshold));
      bits[i] |= ((flags.x | flags.y) | (flags.z | flags.w)) << (v - first);
      top[i] = select(top[i], logit, known & (logit > top[i]));
      if (FALLBACK) {
        let above = logit - threshold;
        let higher = known & (above > margin[i]);
        margin[i] = select(margin[i], above, higher);
        best[i] = select(best[i], v + vec4<u32>(0u, 1u, 2u, 3u), higher);
      }
    }
  }
  // The last one to three tags of all.
  for (; v < end; v++) {
    let tag = u32(tags[v]);
    let threshold = thresholds[v];
    let known = tag < params.outputs;
    for (var i = 0u; i < IMAGES; i++) { // @unroll
      let logit = tag_logits[start[i] + select(0u, tag, known)];
      bits[i] |= select(0u, 1u << (v - first), known && logit > threshold);
      top[i].x = select(top[i].x, logit, known && logit > top[i].x);
      if (FALLBACK) {
        let above = logit - threshold;
        let higher = known && above > margin[i].x;
        margin[i].x = select(margin[i].x, above, higher);
        best[i].x = select(best[i].x, v, higher);
      }
    }
  }
  for (var i = 0u; i < IMAGES; i++) { // @unroll
    for (var c = 0u; c < 4u; c++) { // @unroll
      let higher = margin[i][c] > margin[i].x;
      let earlier = margin[i][c] == margin[i].x && best[i][c] < best[i].x;
      margin[i].x = max(margin[i].x, margin[i][c]);
      best[i].x = select(best[i].x, best[i][c], higher || earlier);
    }
    let highest = max(max(top[i].x, top[i].y), max(top[i].z, top[i].w));
    if (image + i < params.images) {
      parts[(image + i) * params.words + word] = vec4<u32>(
        bits[i],
        bitcast<u32>(highest),
        bitcast<u32>(margin[i].x),
        best[i].x,
      );
    }
  }
}
