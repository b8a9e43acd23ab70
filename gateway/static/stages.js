/** The eight stages of each kind: their names on the wire, the row's columns that they fill, and what people read. */

export const STAGES = {
  menu: [
    { name: "translation", fills: ["translation"], label: "Translation", does: "the dish in the target language" },
    {
      name: "category", fills: ["category", "category_translation"], label: "Category",
      does: "what kind of dish it is, in both languages",
    },
    { name: "description", fills: ["description"], label: "Description", does: "a sentence from what is known" },
    { name: "allergens", fills: ["allergy"], label: "Allergens", does: "contains, may contain, or unknown; never “none”" },
    { name: "ingredients", fills: ["ingredient"], label: "Ingredients", does: "what the dish is typically made of" },
    { name: "image_search", fills: ["search_engine"], label: "Image search", does: "links to open image catalogues" },
    { name: "image", fills: ["gen_image"], label: "Image", does: "a plate card drawn from the dish’s data" },
    { name: "price", fills: ["price"], label: "Price", does: "the amount and its currency" },
  ],
  prompt: [
    { name: "analysis", fills: ["analysis"], label: "Analysis", does: "which parts of a good prompt are there" },
    { name: "variables", fills: ["variables"], label: "Variables", does: "the placeholders as a JSON Schema" },
    { name: "safety", fills: ["safety"], label: "Safety", does: "secrets, personal data and injection patterns" },
    { name: "translation", fills: ["translation"], label: "Translation", does: "the prompt in the target language" },
    { name: "tags", fills: ["tags"], label: "Tags", does: "category, language and topics" },
    { name: "embedding", fills: ["embedding"], label: "Embedding", does: "its vector and its nearest neighbours" },
    { name: "improvement", fills: ["improvement"], label: "Improvement", does: "a next version with the missing parts" },
    { name: "evaluation", fills: ["evaluation"], label: "Evaluation", does: "your test cases, run and scored" },
  ],
};

/** A stage's value out of a row of a snapshot, in the shape that item.updated has, or null before the stage. */
export function valueOf(row, stage) {
  const [first] = stage.fills;
  if (stage.fills.length === 1 || !row[first]) return row[first] ?? null;
  const result = Object.fromEntries(stage.fills.map((column) => [column, row[column]?.result ?? null]));
  return { ...row[first], result };
}

/** Nothing is known: null, or an object of several columns that are all null. */
export function isUnknown(value, stage) {
  if (value.reference) return false;
  const { result } = value;
  if (result === null || result === undefined) return true;
  return stage.fills.length > 1 && stage.fills.every((column) => result[column] === null);
}
