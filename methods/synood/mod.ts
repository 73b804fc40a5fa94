/**
 * SynOOD (Li et al., ICCV 2025): near-boundary images, and a vision-language model that is tuned on
 * them against labels from outside.
 *
 * @module
 */

export * from "./candidates.ts";
export {
  type ContextCounts,
  type ContextImages,
  type Contexts,
  type ContextsKind,
  type ContextsSource,
  type DroppedElements,
  elementsOf,
  fitContexts,
  type FitContextsOptions,
  type FittedContexts,
  type FrequentElement,
  frequentElements,
  type GivenElements,
  loadContexts,
  parseContexts,
  saveContexts,
} from "./contexts.ts";
export * from "./ddim.ts";
export {
  type Denoising,
  type DiffusionOptions,
  type Inpainting,
  LatentDiffusion,
  openDiffusion,
} from "./diffusion.ts";
export {
  type DiffusionFolder,
  type DiffusionPart,
  type LatentSize,
  readDiffusionFolder,
} from "./diffusion_folder.ts";
export { readElements } from "./element_file.ts";
export {
  type AskedElements,
  askElements,
  type AskElementsOptions,
  CONTEXT_QUESTION,
  endpointAddress,
  EndpointError,
} from "./endpoint.ts";
export * from "./label_set.ts";
export {
  findLabels,
  type LabelInput,
  type LabelOptions,
  type LabelStage,
  type MinedLabels,
} from "./labels.ts";
export { PromptCache } from "./prompt_cache.ts";
export * from "./prompts.ts";
export {
  chooseFarthest,
  type ChooseOptions,
  type CompareOptions,
  compareWithClasses,
  type Nearness,
  type UnitRows,
} from "./ranking.ts";
export {
  type InformativeImage,
  type MeasuredImages,
  measureImages,
  selectInformative,
  type ShortClass,
  shortClasses,
} from "./selection.ts";
export {
  type Decoded,
  type DecodedGradient,
  SkipGradient,
  type SkipGradientSource,
} from "./skip_gradient.ts";
export * from "./synthesis_loss.ts";
export {
  DEFAULT_TAG_RULE,
  tagElements,
  type TagElementsOptions,
  type TagRule,
} from "./tag_elements.ts";
