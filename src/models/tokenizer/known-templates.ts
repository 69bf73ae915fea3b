// Chat templates by name, for models whose files have none: each row has the text of a template and the texts that end
// an answer in it.

export interface KnownTemplate {
  /** Jinja. */
  readonly text: string;
  /** Each ends an answer: a special token, or plain text if the tokenizer has no such token. */
  readonly ends: readonly string[];
}

const CHATML = String.raw`
{%- for message in messages %}
    {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}`;

/** ChatML with tools as Qwen2.5, Qwen3 and Hermes have them. */
const QWEN = String.raw`
{%- if tools %}
    {{- '<|im_start|>system\n' }}
    {%- if messages[0].role == 'system' %}
        {{- messages[0].content + '\n\n' }}
    {%- endif %}
    {{- '# Tools\n\nYou may call one or more functions to assist with the user query.\n\n' }}
    {{- 'You are provided with function signatures within <tools></tools> XML tags:\n<tools>' }}
    {%- for tool in tools %}
        {{- '\n' }}{{- tool | tojson }}
    {%- endfor %}
    {{- '\n</tools>\n\nFor each function call, return a json object with function name and arguments within ' }}
    {{- '<tool_call></tool_call> XML tags:\n<tool_call>\n' }}
    {{- '{"name": <function-name>, "arguments": <args-json-object>}\n</tool_call><|im_end|>\n' }}
{%- elif messages[0].role == 'system' %}
    {{- '<|im_start|>system\n' + messages[0].content + '<|im_end|>\n' }}
{%- endif %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {%- if loop.first or messages[loop.index0 - 1].role != 'tool' %}
            {{- '<|im_start|>user' }}
        {%- endif %}
        {{- '\n<tool_response>\n' + message.content + '\n</tool_response>' }}
        {%- if loop.last or messages[loop.index0 + 1].role != 'tool' %}
            {{- '<|im_end|>\n' }}
        {%- endif %}
    {%- elif message.role == 'assistant' and message.tool_calls %}
        {{- '<|im_start|>assistant' }}
        {%- if message.content %}
            {{- '\n' + message.content }}
        {%- endif %}
        {%- for call in message.tool_calls %}
            {{- '\n<tool_call>\n{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}\n</tool_call>' }}
        {%- endfor %}
        {{- '<|im_end|>\n' }}
    {%- elif message.role != 'system' or not loop.first %}
        {{- '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|im_start|>assistant\n' }}
{%- endif %}`;

/** Llama 3, with Llama 3.1's format for user tools. */
const LLAMA3 = String.raw`
{{- bos_token | default('<|begin_of_text|>') }}
{%- set shown = namespace(tools=false) %}
{%- for message in messages %}
    {%- if message.role == 'tool' %}
        {{- '<|start_header_id|>ipython<|end_header_id|>\n\n' + message.content + '<|eot_id|>' }}
    {%- else %}
        {{- '<|start_header_id|>' + message.role + '<|end_header_id|>\n\n' }}
        {%- if tools and message.role == 'user' and not shown.tools %}
            {%- set shown.tools = true %}
            {{- 'Given the following functions, please respond with a JSON for a function call with its proper ' }}
            {{- 'arguments that best answers the given prompt.\n\nRespond in the format {"name": function name, ' }}
            {{- '"parameters": dictionary of argument name and its value}. Do not use variables.\n\n' }}
            {%- for tool in tools %}
                {{- tool | tojson(indent=4) }}{{- '\n\n' }}
            {%- endfor %}
        {%- endif %}
        {{- message.content | trim }}
        {%- for call in message.tool_calls or [] %}
            {{- '{"name": "' + call.function.name + '", "parameters": ' }}
            {{- call.function.arguments | tojson }}
            {{- '}' }}
            {%- if not loop.last %}
                {{- '; ' }}
            {%- endif %}
        {%- endfor %}
        {{- '<|eot_id|>' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|start_header_id|>assistant<|end_header_id|>\n\n' }}
{%- endif %}`;

/** Gemma has no role of the system: its text comes before the first message. */
const GEMMA = String.raw`
{{- bos_token | default('<bos>') }}
{%- for message in messages %}
    {%- if message.role != 'system' or not loop.first %}
        {{- '<start_of_turn>' + ('model' if message.role == 'assistant' else message.role) + '\n' }}
        {%- if loop.index0 == 1 and messages[0].role == 'system' %}
            {{- messages[0].content + '\n\n' }}
        {%- endif %}
        {{- (message.content | trim) + '<end_of_turn>\n' }}
    {%- elif loop.last %}
        {{- '<start_of_turn>user\n' + (message.content | trim) + '<end_of_turn>\n' }}
    {%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<start_of_turn>model\n' }}
{%- endif %}`;

/** Mistral's third form, as Mistral 7B 0.3 has it; the system's text comes before the last message of the user. */
const MISTRAL = String.raw`
{%- set last = namespace(user=-1) %}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- set last.user = loop.index0 %}
    {%- endif %}
{%- endfor %}
{{- bos_token | default('<s>') }}
{%- for message in messages %}
    {%- if message.role == 'user' %}
        {%- if loop.index0 == last.user and tools %}
            {{- '[AVAILABLE_TOOLS] ' }}{{- tools | tojson }}{{- '[/AVAILABLE_TOOLS]' }}
        {%- endif %}
        {{- '[INST] ' }}
        {%- if loop.index0 == last.user and messages[0].role == 'system' %}
            {{- messages[0].content + '\n\n' }}
        {%- endif %}
        {{- message.content + '[/INST]' }}
    {%- elif message.role == 'tool' %}
        {{- '[TOOL_RESULTS] {"content": ' }}{{- message.content | tojson }}
        {{- ', "call_id": ' }}{{- message.tool_call_id | tojson }}{{- '}[/TOOL_RESULTS]' }}
    {%- elif message.role == 'assistant' and message.tool_calls %}
        {{- '[TOOL_CALLS] [' }}
        {%- for call in message.tool_calls %}
            {{- '{"name": "' + call.function.name + '", "arguments": ' }}
            {{- call.function.arguments | tojson }}
            {{- ', "id": ' }}{{- call.id | tojson }}{{- '}' }}
            {%- if not loop.last %}
                {{- ', ' }}
            {%- endif %}
        {%- endfor %}
        {{- ']' + (eos_token | default('</s>')) }}
    {%- elif message.role == 'assistant' %}
        {{- ' ' + (message.content | trim) + (eos_token | default('</s>')) }}
    {%- elif not loop.first %}
        {{- raise_exception('a message of the system must come first') }}
    {%- endif %}
{%- endfor %}`;

const PHI3 = String.raw`
{%- for message in messages %}
    {{- '<|' + message.role + '|>\n' + message.content + '<|end|>\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\n' }}
{%- endif %}`;

const ZEPHYR = String.raw`
{%- for message in messages %}
    {{- '<|' + message.role + '|>\n' + message.content + (eos_token | default('</s>')) + '\n' }}
{%- endfor %}
{%- if add_generation_prompt %}
    {{- '<|assistant|>\n' }}
{%- endif %}`;

export const KNOWN_TEMPLATES: ReadonlyMap<string, KnownTemplate> = new Map<string, KnownTemplate>([
  ["chatml", { text: CHATML, ends: ["<|im_end|>"] }],
  ["gemma", { text: GEMMA, ends: ["<end_of_turn>"] }],
  ["llama3", { text: LLAMA3, ends: ["<|eot_id|>", "<|eom_id|>"] }],
  ["mistral", { text: MISTRAL, ends: ["</s>"] }],
  ["phi3", { text: PHI3, ends: ["<|end|>"] }],
  ["qwen", { text: QWEN, ends: ["<|im_end|>"] }],
  ["zephyr", { text: ZEPHYR, ends: ["</s>"] }],
]);
