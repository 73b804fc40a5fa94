/**
 * SynOOD (Li et al., ICCV 2025): near-boundary images, and a vision-language model that is tuned on
 * them against labels from outside.
 *
 * @module
 */

export type { ImagePairs } from "./_pairs.ts";
export type { SynoodBatches, SynoodCheckpoint, SynoodRun, SynoodStart } from "./_trainer.ts";
export { type Assignment, assignNegatives, type AssignOptions } from "./assign.ts";
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
export { fittedSynood, type SynoodScoreOptions } from "./detector.ts";
export {
  type Denoising,
  type DiffusionOptions,
  type Inpainting,
  LatentDiffusion,
  openDiffusion,
} from "./diffusion.ts";
export {
  type DiffusionFolder,
  diffusionHashes,
  type DiffusionPart,
  type DiffusionValues,
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
export { type ImageFeatures, loadImageFeatures, type LoadImagesOptions } from "./images.ts";
export { type JointTrained, type JointTrainOptions, trainJointly } from "./joint.ts";
export * from "./label_set.ts";
export { type LabelsTuned, type LabelTuneOptions, tuneLabels } from "./label_tuning.ts";
export {
  findLabels,
  type LabelInput,
  type LabelOptions,
  type LabelStage,
  type MinedLabels,
} from "./labels.ts";
export { delta, deltaParameters, type Projection } from "./model.ts";
export { type PairLists, writePairLists } from "./pair_lists.ts";
export {
  projectImages,
  type ProjectImagesOptions,
  type ProjectionTrained,
  type ProjectionTrainOptions,
  trainProjection,
} from "./projection.ts";
export { loadProjection, type SavedProjection, saveProjection } from "./projection_file.ts";
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
export { synood } from "./score.ts";
export {
  type InformativeImage,
  type MeasuredImages,
  measureImages,
  selectInformative,
  type ShortClass,
  shortClasses,
} from "./selection.ts";
export * from "./settings.ts";
export {
  type DecodedGradient,
  type ScoredImages,
  SkipGradient,
  type SkipGradientSource,
} from "./skip_gradient.ts";
export {
  synthesise,
  type SynthesisOptions,
  type SynthesisReport,
  type SynthesisSeconds,
  type SynthesisStage,
} from "./synthesis.ts";
export * from "./synthesis_loss.ts";
export * from "./synthesis_settings.ts";
export {
  readSyntheticImages,
  type ScoreCourse,
  type SynthesisCounts,
  type SynthesisIdentity,
  type SynthesisManifest,
  type SynthesisMode,
  type SyntheticImage,
} from "./synthetic_images.ts";
export {
  DEFAULT_TAG_RULE,
  tagElements,
  type TagElementsOptions,
  type TagRule,
} from "./tag_elements.ts";
export {
  DEFAULT_PROMPT,
  elementPrompt,
  imageSeed,
  LABEL_PROMPT,
  labelWork,
  sourceWork,
  type WorkItem,
  type WorkList,
  type WorkOptions,
} from "./work_list.ts";
