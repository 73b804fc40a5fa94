// Tokens that the attention maps of an image's predicted tags single out; a workgroup per image.
//
//   map_v[t] = sum over h of attention[n, h, tags[v], t], for the used tags v alone
//   value_v[t] = (map_v[t] - low_v) / (high_v - low_v), 1 where high_v == low_v
//   keep[n, t] = any value_v[t] > tau; all of them where tau is 0
//
// low_v and high_v are taken over the finite elements of the map; the others take no part, and their
// tag does not keep them. Used are the predicted tags; with HAS_ONLY the tag only[n] alone, none where
// that is no index; with FALLBACK, where none is predicted, the one whose logit lies least below its
// threshold.
//
//   counts[n] = sum over t of keep[n, t]
//   tagged[n] = number of predicted tags; score[n] = sigmoid of their largest logit
//
// Shapes: attention: f32[images, heads, outputs, tokens], row-major; tags: i32[count];
// parts: vec4<u32>[images, words] of object_mask_tags.wgsl; only: i32[images];
// keep: i32[images, tokens]; counts, tagged: i32[images]; score: f32[images].
// Dispatch: gridFor(images, 1), a workgroup per image whose lanes share the tokens; the grid folds x
// into y. tokens <= LANES ROUNDS. A used map is read once, into registers; maps of other tags are not
// read.
// Numerics: f32, heads added in order; map - low > tau (high - low) stands for value > tau, so that no
// quotient is rounded and every adapter keeps the same tokens. Loop turns of an invocation, where every
// tag is used: 2 count / 32 + count (1 + heads).

override LANES: u32 = 8u; // a power of two from 8 on
override HAS_ONLY: bool = false;
override FALLBACK: bool = false;

const ROUNDS: u32 = 4u; // @spec
// 1 where there are several heads.
const ADD_HEADS: u32 = 0u; // @spec

const LOWEST = -3.4028234e38;
const HIGHEST = 3.4028234e38;
const NONE = 0xffffffffu;
const EXPONENT = 0x7f800000u;
const LAST: u32 = 8u; // lanes whose numbers every lane reads

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

// Two halves in turn, so that a lane may write while another still reads.
var<workgroup> shared_bounds: array<vec2<f32>, 2u * LANES>;
var<workgroup> shared_numbers: array<u32, LANES>;

fn sigmoid(x: f32) -> f32 {
  let e = exp(-abs(x));
  return select(e, 1.0, x >= 0.0) / (1.0 + e);
}

@compute @workgroup_size(LANES)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let image = wid.y * grid.x + wid.x;
  let inside = image < params.images;
  let words = select(0u, params.words, inside);
  var number = 0u;
  var top = LOWEST;
  var margin = LOWEST;
  var best = NONE;
  for (var w = 0u; w < words; w++) {
    let part = parts[image * params.words + w];
    number += countOneBits(part.x);
    top = max(top, bitcast<f32>(part.y));
    if (FALLBACK && bitcast<f32>(part.z) > margin) {
      margin = bitcast<f32>(part.z);
      best = part.w;
    }
  }
  // The used tags that are left of a word, the first tag of the word, and the next word.
  var bits = 0u;
  var first = 0u;
  var next = select(0u, words, HAS_ONLY);
  if (inside && (HAS_ONLY || FALLBACK)) {
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
  var kept: array<u32, ROUNDS>;
  var side = 0u;
  loop {
    while (bits == 0u && next < words) {
      bits = parts[image * params.words + next].x;
      first = 32u * next;
      next++;
    }
    if (bits == 0u) {
      break;
    }
    let tag = u32(tags[first + countTrailingZeros(bits)]);
    bits &= bits - 1u;
    var start = (image * params.heads * params.outputs + tag) * params.tokens;
    var value: array<f32, ROUNDS>;
    for (var r = 0u; r < ROUNDS; r++) { // @unroll
      value[r] = attention[start + min(r * LANES + lane, params.tokens - 1u)];
    }
    if (ADD_HEADS == 1u) { // @static
      for (var h = 1u; h < params.heads; h++) {
        start += params.outputs * params.tokens;
        for (var r = 0u; r < ROUNDS; r++) { // @unroll
          value[r] += attention[start + min(r * LANES + lane, params.tokens - 1u)];
        }
      }
    }
    // The largest of the negated elements beside the largest of the elements.
    var bounds = vec2<f32>(LOWEST);
    for (var r = 0u; r < ROUNDS; r++) { // @unroll
      let finite = (bitcast<u32>(value[r]) & EXPONENT) != EXPONENT;
      value[r] = select(LOWEST, value[r], finite);
      bounds = max(bounds, vec2<f32>(select(LOWEST, -value[r], value[r] > LOWEST), value[r]));
    }
    shared_bounds[side + lane] = bounds;
    for (var stride = LANES / 2u; stride >= LAST; stride /= 2u) {
      workgroupBarrier();
      if (lane < stride) {
        bounds = max(bounds, shared_bounds[side + lane + stride]);
        shared_bounds[side + lane] = bounds;
      }
    }
    workgroupBarrier();
    bounds = shared_bounds[side];
    for (var i = 0u; i < LAST; i++) { // @unroll
      bounds = max(bounds, shared_bounds[side + i]);
    }
    side = LANES - side;
    let low = -bounds.x;
    let range = bounds.y - low;
    // What an element must rise above `low` to be kept.
    var least = params.tau * range;
    if (params.tau == 0.0 || (range == 0.0 && params.tau < 1.0)) {
      least = -1.0;
    }
    // No element is finite.
    if (bounds.y == LOWEST) {
      least = HIGHEST;
    }
    for (var r = 0u; r < ROUNDS; r++) { // @unroll
      kept[r] |= select(0u, 1u, value[r] - low > least);
    }
  }
  var sum = 0u;
  for (var r = 0u; r < ROUNDS; r++) { // @unroll
    let token = r * LANES + lane;
    if (inside && token < params.tokens) {
      keep[image * params.tokens + token] = i32(kept[r]);
      sum += kept[r];
    }
  }
  shared_numbers[lane] = sum;
  for (var stride = LANES / 2u; stride > 0u; stride /= 2u) {
    workgroupBarrier();
    if (lane < stride) {
      sum += shared_numbers[lane + stride];
      shared_numbers[lane] = sum;
    }
  }
  if (inside && lane == 0u) {
    counts[image] = i32(sum);
    tagged[image] = i32(number);
    score[image] = sigmoid(top);
  }
}
