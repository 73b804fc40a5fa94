// Tokens that the attention maps of an image's predicted tags single out; an image per invocation.
// Formula and rules as in object_mask_tree.wgsl.
//
// Shapes: attention: f32[images, heads, outputs, tokens], row-major; tags: i32[count];
// parts: vec4<u32>[images, words] of object_mask_tags.wgsl; only: i32[images];
// keep: i32[images, tokens]; counts, tagged: i32[images]; score: f32[images].
// Dispatch: gridFor(images, WORKGROUP); the grid folds x into y. tokens <= CHUNK CHUNKS. A used map is
// read twice; maps of other tags are not read.
// For a software adapter, which runs eight images as one vector: barriers cost it dearly, and it goes
// through a nested loop once more than that has turns, with all lanes off. Hence images look for their
// next used tag in a loop of its own and all of them then look at their maps together: 155 µs for 64
// images of 145 tokens, 3 of 719 tags used, where a map's tokens over eight lanes took 1050.
// Numerics: as in object_mask_tree.wgsl. Loop turns of an invocation, where every tag is used:
// 2 count / 32 + count (1 + 2 heads tokens / CHUNK).

override WORKGROUP: u32 = 8u;
override HAS_ONLY: bool = false;
override FALLBACK: bool = false;

const CHUNK: u32 = 8u; // @spec
// Room for the chunks of an image.
const CHUNKS: u32 = 32u; // @spec
// 1 where there are several heads.
const ADD_HEADS: u32 = 0u; // @spec

const LOWEST = -3.4028234e38;
const HIGHEST = 3.4028234e38;
const NONE = 0xffffffffu;
const EXPONENT = 0x7f800000u;

struct Params {
  images: u32,
  heads: u32,
  outputs: u32, // tags of the tagger, M
  tokens: u32,
  count: u32, // in-distribution tags, V
  words: u32,
  tau: f32,
}

@group(0) @binding(0) var<storage, read> attention: array<f32>;
@group(0) @binding(1) var<storage, read> tags: array<i32>;
@group(0) @binding(2) var<storage, read> parts: array<vec4<u32>>;
@group(0) @binding(3) var<storage, read> only: array<i32>;
@group(0) @binding(4) var<storage, read_write> keep: array<i32>;
@group(0) @binding(5) var<storage, read_write> counts: array<i32>;
@group(0) @binding(6) var<storage, read_write> tagged: array<i32>;
@group(0) @binding(7) var<storage, read_write> score: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

// Elements of the map that begins at `start`, from token `first` on; the last one behind the end.
fn chunk(start: u32, first: u32) -> array<f32, CHUNK> {
  var value: array<f32, CHUNK>;
  for (var r = 0u; r < CHUNK; r++) { // @unroll
    value[r] = attention[start + min(first + r, params.tokens - 1u)];
  }
  if (ADD_HEADS == 1u) { // @static
    for (var h = 1u; h < params.heads; h++) {
      let head = start + h * params.outputs * params.tokens;
      for (var r = 0u; r < CHUNK; r++) { // @unroll
        value[r] += attention[head + min(first + r, params.tokens - 1u)];
      }
    }
  }
  for (var r = 0u; r < CHUNK; r++) { // @unroll
    let finite = (bitcast<u32>(value[r]) & EXPONENT) != EXPONENT;
    value[r] = select(LOWEST, value[r], finite);
  }
  return value;
}

@compute @workgroup_size(WORKGROUP)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) local: u32,
) {
  let image = (wid.y * grid.x + wid.x) * WORKGROUP + local;
  if (image >= params.images) {
    return;
  }
  var number = 0u;
  var top = LOWEST;
  var margin = LOWEST;
  var best = NONE;
  for (var w = 0u; w < params.words; w++) {
    let part = parts[image * params.words + w];
    number += countOneBits(part.x);
    top = max(top, bitcast<f32>(part.y));
    if (FALLBACK) {
      best = select(best, part.w, bitcast<f32>(part.z) > margin);
      margin = max(margin, bitcast<f32>(part.z));
    }
  }
  // The used tags that are left of a word, the first tag of the word, and the next word.
  var bits = 0u;
  var first = 0u;
  var next = select(0u, params.words, HAS_ONLY);
  if (HAS_ONLY || FALLBACK) {
    var added = NONE;
    if (HAS_ONLY) {
      added = u32(only[image]);
    } else if (number == 0u) {
      added = best;
    }
    if (added < params.count) {
      first = added;
      bits = select(0u, 1u, u32(tags[added]) < params.outputs);
    }
  }
  let chunks = (params.tokens + CHUNK - 1u) / CHUNK;
  var kept: array<u32, CHUNKS>;
  loop {
    while (bits == 0u && next < params.words) {
      bits = parts[image * params.words + next].x;
      first = 32u * next;
      next++;
    }
    if (bits == 0u) {
      break;
    }
    let tag = u32(tags[first + countTrailingZeros(bits)]);
    bits &= bits - 1u;
    let start = (image * params.heads * params.outputs + tag) * params.tokens;
    var low = HIGHEST;
    var high = LOWEST;
    for (var c = 0u; c < chunks; c++) {
      let value = chunk(start, c * CHUNK);
      for (var r = 0u; r < CHUNK; r++) { // @unroll
        low = min(low, select(HIGHEST, value[r], value[r] > LOWEST));
        high = max(high, value[r]);
      }
    }
    let range = high - low;
    // What an element must rise above `low` to be kept.
    var least = params.tau * range;
    if (params.tau == 0.0 || (range == 0.0 && params.tau < 1.0)) {
      least = -1.0;
    }
    // No element is finite.
    if (high == LOWEST) {
      least = HIGHEST;
    }
    for (var c = 0u; c < chunks; c++) {
      let value = chunk(start, c * CHUNK);
      var flags = 0u;
      for (var r = 0u; r < CHUNK; r++) { // @unroll
        flags |= select(0u, 1u << r, value[r] - low > least);
      }
      kept[c] |= flags;
    }
  }
  var sum = 0u;
  for (var c = 0u; c < chunks; c++) {
    for (var r = 0u; r < CHUNK; r++) { // @unroll
      let token = c * CHUNK + r;
      if (token < params.tokens) {
        let flag = (kept[c] >> r) & 1u;
        keep[image * params.tokens + token] = i32(flag);
        sum += flag;
      }
    }
  }
  counts[image] = i32(sum);
  tagged[image] = i32(number);
  score[image] = sigmoid(top);
}
