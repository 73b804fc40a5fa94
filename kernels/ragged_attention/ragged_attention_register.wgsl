// Attention over ragged lists that streams over the keys, with several queries per invocation in
// registers and no workgroup memory: the scores are never written.
//
//   s_j = scale sum_c q[row, head, c] k[first + j, head, c]
//   y[row, head, c] = sum_j kept_j exp(s_j - logSumExp[row, head]) v[first + j, head, c]
//   logSumExp[row, head] = log sum_j exp(s_j)
//
// with `first` the first key of the row's list. `kept` is 0 or 1 / (1 - rate) by the uniform number at
// position (row heads + head) 4 blocks + j of a stream of Philox4x32-10, as dropout.wgsl has it, where
// DROP is 1, else 1. Rows whose list has no key, and padding rows, get zeros.
//
// Shapes: offsets, key_offsets: i32[lists + 1], ascending; q: vec4<f32>[rows, heads, quads]; k, v:
//   vec4<f32>[*, heads, quads], all padded with zeros along d; y: Elem[rows, heads, d / WIDTH];
//   logSumExp: f32[rows, heads]. Row-major.
// Dispatch: gridFor(items, 8), folded from x into y; items = tiles * heads * PARTS with
//   tiles = rows / TM + lists + 1. List n owns the tiles from offsets[n] / TM + n on, which are enough
//   for its rows wherever it begins; bisection finds the list of a tile. The rows after the last list
//   are a list of padding. Tiles without a row end at once.
// Numerics: f32. Running maximum and sum, key by key (Milakov and Gimelshein, "Online normalizer
//   calculation for softmax", 2018; Dao, "FlashAttention-2", 2023). Exponentials are to base 2, the
//   factor being in the queries.
//
// A head wider than what registers hold is cut into PARTS of QUADS vec4: an invocation sums one part of
// y, and reads the queries again for every key.
//
// On a software adapter a load costs as much as ten to twenty multiply-adds, so a key that was loaded
// must meet several queries. What only constants index is registers, or spilled vectors that are cheap
// to read. Both sides of a condition are computed, and a loop runs once more with nothing to do, so the
// ten rounds that make four uniform numbers cannot be left out for three keys of four: they are spread
// over the four keys before the ones they serve.

const TM: u32 = 4u; // @spec queries of an invocation
const QUADS: u32 = 4u; // @spec vec4 of a part
const PARTS: u32 = 1u; // @spec parts of a head
const DROP: u32 = 1u; // @spec
alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

const LOWEST: f32 = -3.4028234e38;
const LN_2: f32 = 0.6931471805599453;
const LOG2_E: f32 = 1.4426950408889634;

struct Params {
  lists: u32,
  rows: u32, // of q, padding included
  heads: u32,
  quads: u32, // vec4 of a head
  dimension: u32, // d
  items: u32,
  blocks: u32, // groups of four weights of a query and head
  seed_low: u32,
  seed_high: u32,
  stream: u32,
  rate: f32,
  keep_factor: f32, // 1 / (1 - rate)
  scale: f32,
}

@group(0) @binding(0) var<storage, read> offsets: array<i32>;
@group(0) @binding(1) var<storage, read> key_offsets: array<i32>;
@group(0) @binding(2) var<storage, read> q: array<vec4<f32>>;
@group(0) @binding(3) var<storage, read> k: array<vec4<f32>>;
@group(0) @binding(4) var<storage, read> v: array<vec4<f32>>;
@group(0) @binding(5) var<storage, read_write> y: array<Elem>;
@group(0) @binding(6) var<storage, read_write> log_sum_exp: array<f32>;
@group(1) @binding(0) var<uniform> params: Params;

const MULTIPLIER_0: u32 = 0xd2511f53u;
const MULTIPLIER_1: u32 = 0xcd9e8d57u;
const WEYL_0: u32 = 0x9e3779b9u;
const WEYL_1: u32 = 0xbb67ae85u;
const ROUNDS: u32 = 10u;
const TWO_POW_MINUS_24: f32 = 5.9604645e-8;

// High 32 bits of the 64-bit product, by 16-bit halves: WGSL has no wide product.
fn multiply_high(a: u32, b: u32) -> u32 {
  let a_low = a & 0xffffu;
  let a_high = a >> 16u;
  let b_low = b & 0xffffu;
  let b_high = b >> 16u;
  let middle = a_high * b_low + ((a_low * b_low) >> 16u);
  let carry = a_low * b_high + (middle & 0xffffu);
  return a_high * b_high + (middle >> 16u) + (carry >> 16u);
}

// One of the ten rounds of Philox4x32-10.
fn philox_round(counter: vec4<u32>, round: u32) -> vec4<u32> {
  let high_0 = multiply_high(MULTIPLIER_0, counter.x);
  let high_1 = multiply_high(MULTIPLIER_1, counter.z);
  return vec4<u32>(
    high_1 ^ counter.y ^ (params.seed_low + round * WEYL_0),
    MULTIPLIER_1 * counter.z,
    high_0 ^ counter.w ^ (params.seed_high + round * WEYL_1),
    MULTIPLIER_0 * counter.x,
  );
}

// Which of four weights stay, one bit each: those whose uniform number is at least the rate.
fn kept_bits(words: vec4<u32>) -> u32 {
  let chance = vec4<f32>(words >> vec4<u32>(8u)) * TWO_POW_MINUS_24;
  let bits = select(vec4<u32>(0u), vec4<u32>(1u, 2u, 4u, 8u), chance >= vec4<f32>(params.rate));
  return bits.x | bits.y | bits.z | bits.w;
}

@compute @workgroup_size(8)
fn main(
  @builtin(workgroup_id) wid: vec3<u32>,
  @builtin(num_workgroups) grid: vec3<u32>,
  @builtin(local_invocation_index) lane: u32,
) {
  let item = (wid.y * grid.x + wid.x) * 8u + lane;
  if (item >= params.items) {
    return;
  }
  let own = item % PARTS * QUADS;
  let head = item / PARTS % params.heads;
  let tile = item / PARTS / params.heads;
  var list = 0u;
  var above = params.lists + 1u;
  while (above - list > 1u) {
    let middle = (list + above) / 2u;
    if (u32(offsets[middle]) / TM + middle <= tile) {
      list = middle;
    } else {
      above = middle;
    }
  }
  let begin = u32(offsets[list]);
  let place = (tile - begin / TM - list) * TM;
  let row = begin + place;
  var end = params.rows;
  var first = 0u;
  var keys = 0u;
  if (list < params.lists) {
    end = u32(offsets[list + 1u]);
    first = u32(key_offsets[list]);
    keys = u32(key_offsets[list + 1u]) - first;
  }
  if (row >= end) {
    return;
  }
  let pitch = params.heads * params.quads;
  let column = head * params.quads;
  let scale = params.scale * LOG2_E;

  var held_q: array<vec4<f32>, TM * QUADS>;
  var sum: array<vec4<f32>, TM * QUADS>;
  var top: array<f32, TM>;
  var mass: array<f32, TM>;
  for (var i = 0u; i < TM; i++) { // @unroll
    // Rows beyond the list repeat its last one, and are not stored.
    let at = min(row + i, end - 1u);
    top[i] = LOWEST;
    mass[i] = 0.0;
    for (var c = 0u; c < QUADS; c++) { // @unroll
      if (PARTS == 1u) { // @static
        held_q[i * QUADS + c] = q[at * pitch + column + c] * scale;
      }
      sum[i * QUADS + c] = vec4<f32>(0.0);
    }
  }
  var kept: array<u32, TM>;
  var counter: array<vec4<u32>, TM>;
  if (DROP == 1u) { // @static
    for (var i = 0u; i < TM; i++) { // @unroll
      let block = ((row + i) * params.heads + head) * params.blocks;
      counter[i] = vec4<u32>(block, 0u, params.stream, 0u);
      for (var round = 0u; round < ROUNDS; round++) {
        counter[i] = philox_round(counter[i], round);
      }
    }
  }
  var s: array<f32, TM>;
  for (var j = 0u; j < keys; j++) {
    let start = (first + j) * pitch + column;
    for (var i = 0u; i < TM; i++) { // @unroll
      s[i] = 0.0;
    }
    if (PARTS == 1u) { // @static
      for (var c = 0u; c < QUADS; c++) { // @unroll
        let b = k[start + c];
        for (var i = 0u; i < TM; i++) { // @unroll
          let a = held_q[i * QUADS + c];
          s[i] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[i]))));
        }
      }
    }
    if (PARTS > 1u) { // @static
      for (var part = 0u; part < params.quads; part += QUADS) {
        for (var i = 0u; i < TM; i++) { // @unroll
          let at = min(row + i, end - 1u) * pitch + column + part;
          for (var c = 0u; c < QUADS; c++) { // @unroll
            // Beyond the head lie other columns, which must not count.
            let inside = part + c < params.quads;
            held_q[i * QUADS + c] = select(vec4<f32>(0.0), q[at + c] * scale, inside);
          }
        }
        for (var c = 0u; c < QUADS; c++) { // @unroll
          let b = k[start + min(part + c, params.quads - 1u)];
          for (var i = 0u; i < TM; i++) { // @unroll
            let a = held_q[i * QUADS + c];
            s[i] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[i]))));
          }
        }
      }
    }
    if (DROP == 1u) { // @static
      // Rounds 0 to 2, 3 to 5, 6 and 7, 8 and 9 of the next block.
      let phase = j % 4u;
      let round = 3u * phase - select(0u, 1u, phase == 3u);
      for (var i = 0u; i < TM; i++) { // @unroll
        kept[i] = select(kept[i] >> 1u, kept_bits(counter[i]), phase == 0u);
        let block = ((row + i) * params.heads + head) * params.blocks + j / 4u + 1u;
        counter[i] = select(counter[i], vec4<u32>(block, 0u, params.stream, 0u), phase == 0u);
        counter[i] = philox_round(philox_round(counter[i], round), round + 1u);
        counter[i] = select(counter[i], philox_round(counter[i], round + 2u), phase < 2u);
      }
    }
    for (var i = 0u; i < TM; i++) { // @unroll
      let peak = max(top[i], s[i]);
      let shrink = exp2(top[i] - peak);
      top[i] = peak;
      s[i] = exp2(s[i] - peak);
      mass[i] = fma(mass[i], shrink, s[i]);
      if (DROP == 1u) { // @static
        s[i] = select(0.0, s[i], (kept[i] & 1u) == 1u);
      }
      for (var c = 0u; c < QUADS; c++) { // @unroll
        sum[i * QUADS + c] *= shrink;
      }
    }
    for (var c = 0u; c < QUADS; c++) { // @unroll
      let b = v[start + own + c];
      for (var i = 0u; i < TM; i++) { // @unroll
        sum[i * QUADS + c] = fma(vec4<f32>(s[i]), b, sum[i * QUADS + c]);
      }
    }
  }

  for (var i = 0u; i < TM; i++) { // @unroll
    if (row + i < end) {
      let at = (row + i) * params.heads + head;
      var share = 0.0;
      var result = 0.0;
      if (keys > 0u) {
        share = params.keep_factor / mass[i];
        result = (top[i] + log2(mass[i])) * LN_2;
      }
      if (own == 0u) {
        log_sum_exp[at] = result;
      }
      for (var c = 0u; c < QUADS; c++) { // @unroll
        if (WIDTH == 4u) { // @static
          if (own + c < params.quads) {
            y[at * params.quads + own + c] = sum[i * QUADS + c] * share;
          }
        }
        if (WIDTH == 1u) { // @static
          for (var e = 0u; e < 4u; e++) { // @unroll
            let component = (own + c) * 4u + e;
            if (component < params.dimension) {
              y[at * params.dimension + component] = sum[i * QUADS + c][e] * share;
            }
          }
        }
      }
    }
  }
}
