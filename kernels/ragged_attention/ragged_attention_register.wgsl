// Attention over ragged lists that streams over the keys, with several queries per invocation in
// registers and no workgroup memory: the scores are never written.
//
//   s_j = scale sum_c q[row, head d + c] k[first + j, head d + c]
//   y[row, head d + c] = sum_j kept_j exp(s_j - logSumExp[row, head]) v[first + j, head d + c]
//   logSumExp[row, head] = log sum_j exp(s_j)
//
// with `first` the first key of the row's list. `kept` is 0 or `keep_factor` by the uniform number at
// position ((row heads + head) blocks) 4 + j of a stream of Philox4x32-10, as dropout.wgsl has it, where
// DROP is 1, else 1. Rows whose list has no key, and padding rows, get zeros.
//
// Shapes: offsets, key_offsets: i32[lists + 1], ascending; q: vec4<f32>[rows, heads, quads], k, v:
//   vec4<f32>[*, heads, quads], padded with zeros along d; y: Elem[rows, heads, d / WIDTH];
//   logSumExp: f32[rows, heads]. Row-major.
// Dispatch: gridFor(items, 8), folded from x into y; items = tiles * heads * PARTS with
//   tiles = rows / TM + lists + 1. List n owns the tiles from offsets[n] / TM + n on: they are enough for
//   its rows wherever it begins, and which list a tile belongs to is found by bisection, without sums
//   over lists. The rows after the last list are a list of padding. Tiles without a row end at once.
// Numerics: f32. A running maximum and sum, in the order of the keys (Milakov and Gimelshein, "Online
//   normalizer calculation for softmax", 2018; Dao, "FlashAttention-2", 2023); exponentials to base 2,
//   the factor being in the queries. Maxima are taken of TN keys at a time.
//
// A head wider than what registers hold is cut into PARTS of QUADS vec4: each invocation sums one part
// of y, and reads the queries again for every turn.
//
// On a software adapter a load costs as much as ten to twenty multiply-adds, so that a key that was
// loaded must meet several queries; arrays that are only indexed by constants are registers or spilled
// vectors, and cost next to nothing to read.

const TM: u32 = 4u; // @spec queries of an invocation
const TN: u32 = 4u; // @spec keys of a turn: 1, 2 or 4
const QUADS: u32 = 4u; // @spec vec4 of a part
const PARTS: u32 = 1u; // @spec parts of a head
const DROP: u32 = 1u; // @spec
alias Elem = vec4<f32>; // @spec
const WIDTH: u32 = 4u; // @spec

const LOWEST: f32 = -3.4028234e38;
const LOG2_E: f32 = 1.4426950408889634;
const LN_2: f32 = 0.6931471805599453;

struct Params {
  lists: u32,
  rows: u32, // of q, padding included
  heads: u32,
  quads: u32, // vec4 of a head
  dimension: u32, // d
  items: u32,
  blocks: u32, // vec4 of uniform numbers of a query and head
  seed_low: u32,
  seed_high: u32,
  stream: u32,
  rate: f32,
  keep_factor: f32,
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

// Which of four weights stay, one bit each: those whose uniform number is at least the rate.
fn kept_bits(block: u32) -> u32 {
  var counter = vec4<u32>(block, 0u, params.stream, 0u);
  var key = vec2<u32>(params.seed_low, params.seed_high);
  for (var round = 0u; round < ROUNDS; round++) { // @unroll
    let high_0 = multiply_high(MULTIPLIER_0, counter.x);
    let high_1 = multiply_high(MULTIPLIER_1, counter.z);
    counter = vec4<u32>(
      high_1 ^ counter.y ^ key.x,
      MULTIPLIER_1 * counter.z,
      high_0 ^ counter.w ^ key.y,
      MULTIPLIER_0 * counter.x,
    );
    key += vec2<u32>(WEYL_0, WEYL_1);
  }
  let chance = vec4<f32>(counter >> vec4<u32>(8u)) * TWO_POW_MINUS_24;
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
  let own = item % PARTS;
  let head = item / PARTS % params.heads;
  let tile = item / PARTS / params.heads;
  // The last list that begins at or before the tile; padding is the list after the last.
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

  var held: array<vec4<f32>, TM * QUADS>;
  var sum: array<vec4<f32>, TM * QUADS>;
  var top: array<f32, TM>;
  var mass: array<f32, TM>;
  var kept: array<u32, TM>;
  for (var i = 0u; i < TM; i++) { // @unroll
    if (PARTS == 1u) { // @static
      // Rows beyond the list repeat its last one, and are not stored.
      let start = min(row + i, end - 1u) * pitch + column;
      for (var c = 0u; c < QUADS; c++) { // @unroll
        held[i * QUADS + c] = q[start + c] * scale;
      }
    }
    for (var c = 0u; c < QUADS; c++) { // @unroll
      sum[i * QUADS + c] = vec4<f32>(0.0);
    }
    top[i] = LOWEST;
    mass[i] = 0.0;
  }
  var s: array<f32, TM * TN>;
  for (var j = 0u; j < keys; j += TN) {
    if (PARTS == 1u) { // @static
      for (var t = 0u; t < TN; t++) { // @unroll
        let start = (first + min(j + t, keys - 1u)) * pitch + column;
        for (var i = 0u; i < TM; i++) { // @unroll
          s[i * TN + t] = 0.0;
        }
        for (var c = 0u; c < QUADS; c++) { // @unroll
          let b = k[start + c];
          for (var i = 0u; i < TM; i++) { // @unroll
            let a = held[i * QUADS + c];
            s[i * TN + t] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[i * TN + t]))));
          }
        }
      }
    }
    if (PARTS > 1u) { // @static
      for (var i = 0u; i < TM; i++) { // @unroll
        for (var t = 0u; t < TN; t++) { // @unroll
          s[i * TN + t] = 0.0;
        }
      }
      for (var part = 0u; part < params.quads; part += QUADS) {
        for (var i = 0u; i < TM; i++) { // @unroll
          let start = min(row + i, end - 1u) * pitch + column + part;
          for (var c = 0u; c < QUADS; c++) { // @unroll
            // Beyond the head lie other columns.
            held[i * QUADS + c] = q[start + c] * select(0.0, scale, part + c < params.quads);
          }
        }
        for (var t = 0u; t < TN; t++) { // @unroll
          let start = (first + min(j + t, keys - 1u)) * pitch + column;
          for (var c = 0u; c < QUADS; c++) { // @unroll
            let b = k[start + min(part + c, params.quads - 1u)];
            for (var i = 0u; i < TM; i++) { // @unroll
              let a = held[i * QUADS + c];
              s[i * TN + t] = fma(a.w, b.w, fma(a.z, b.z, fma(a.y, b.y, fma(a.x, b.x, s[i * TN + t]))));
            }
          }
        }
      }
    }
    if (TN > 1u) { // @static
      for (var t = 0u; t < TN; t++) { // @unroll
        let valid = j + t < keys;
        for (var i = 0u; i < TM; i++) { // @unroll
          s[i * TN + t] = select(LOWEST, s[i * TN + t], valid);
        }
      }
    }
    if (DROP == 1u) { // @static
      // A loop of at most one turn: software adapters compute both sides of a condition.
      for (var fresh = j % 4u == 0u; fresh; fresh = false) {
        for (var i = 0u; i < TM; i++) { // @unroll
          kept[i] = kept_bits(((row + i) * params.heads + head) * params.blocks + j / 4u);
        }
      }
    }
    for (var i = 0u; i < TM; i++) { // @unroll
      var peak = top[i];
      for (var t = 0u; t < TN; t++) { // @unroll
        peak = max(peak, s[i * TN + t]);
      }
      let shrink = exp2(top[i] - peak);
      top[i] = peak;
      mass[i] *= shrink;
      for (var t = 0u; t < TN; t++) { // @unroll
        s[i * TN + t] = exp2(s[i * TN + t] - peak);
        mass[i] += s[i * TN + t];
      }
      if (DROP == 1u) { // @static
        for (var t = 0u; t < TN; t++) { // @unroll
          let stays = (kept[i] >> (j % 4u + t)) & 1u;
          s[i * TN + t] = select(0.0, s[i * TN + t], stays == 1u);
        }
      }
      for (var c = 0u; c < QUADS; c++) { // @unroll
        sum[i * QUADS + c] *= shrink;
      }
    }
    for (var t = 0u; t < TN; t++) { // @unroll
      let start = (first + min(j + t, keys - 1u)) * pitch + column + own * QUADS;
      for (var c = 0u; c < QUADS; c++) { // @unroll
        let b = v[start + c];
        for (var i = 0u; i < TM; i++) { // @unroll
          sum[i * QUADS + c] = fma(vec4<f32>(s[i * TN + t]), b, sum[i * QUADS + c]);
        }
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
      for (var c = 0u; c < QUADS; c++) { // @unroll
        if (WIDTH == 4u) { // @static
          if (own * QUADS + c < params.quads) {
            y[at * params.quads + own * QUADS + c] = sum[i * QUADS + c] * share;
          }
        }
        if (WIDTH == 1u) { // @static
          for (var e = 0u; e < 4u; e++) { // @unroll
            let component = (own * QUADS + c) * 4u + e;
            if (component < params.dimension) {
              y[at * params.dimension + component] = sum[i * QUADS + c][e] * share;
            }
          }
        }
      }
      if (own == 0u) {
        log_sum_exp[at] = result;
      }
    }
  }
}
