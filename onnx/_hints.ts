/**
 * What the sidecar can say where the graph does not.
 *
 * @module
 */

/** The end of a sentence on why a part was not found. */
export const HINT = {
  logits: 'name the value in the sidecar ("outputs": {"logits": …})',
  head: 'name its parameters in the sidecar ("head": {"weight": …, "bias": …}) if there is one',
  features: 'name the value in the sidecar ("outputs": {"features": …})',
  featureMap: 'name the value in the sidecar ("outputs": {"feature_map": …}) if there is one',
} as const;
