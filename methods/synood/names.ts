/**
 * The name of the trained method, for those who need no more of it.
 *
 * This module is browser compatible.
 *
 * @module
 */

/** SynOOD on image features. */
export const SYNOOD = "synood";
