// A Vulkan layer for drivers without hardware (RADV's null device, Mesa's stub of Intel's kernel driver). The driver's
// own compiler translates pipelines; everything else is played: memory is the host's, commands are written down and
// not carried out, fences and semaphores are signalled at once. Results are what the host wrote, else zeros.
//
// Environment:
//   MODC_LAYER_LOG=file      a JSON line for each pipeline (what its compiler reports) and, with MODC_LAYER_COMMANDS=1,
//                            for each dispatch, barrier, copy, fill, set of descriptors, submit and wait
//   MODC_LAYER_CODE=folder   the machine code of each pipeline as text, <number>.s
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <vulkan/vk_layer.h>
#include <vulkan/vulkan.h>

#define EXPORT __attribute__((visibility("default")))
#define RESULT static VKAPI_ATTR VkResult VKAPI_CALL
#define NOTHING static VKAPI_ATTR void VKAPI_CALL

static PFN_vkGetInstanceProcAddr nextInstance;
static PFN_vkGetDeviceProcAddr nextDevice;
static VkInstance instance;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static FILE *file;
static int commandsToo;

static void openLog(void) {
  const char *path = getenv("MODC_LAYER_LOG");
  file = path ? fopen(path, "a") : NULL;
  if (!file) file = stderr;
  setvbuf(file, NULL, _IOLBF, 0);
  commandsToo = getenv("MODC_LAYER_COMMANDS") != NULL;
}
static FILE *logFile(void) {
  static pthread_once_t once = PTHREAD_ONCE_INIT;
  pthread_once(&once, openLog);
  return file;
}
#define TELL(...) do { FILE *to = logFile(); if (commandsToo) fprintf(to, __VA_ARGS__); } while (0)

static double milliseconds(void) {
  struct timespec t;
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &t);
  return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

// --- numbers of handles: pipelines, and the pipeline that a command buffer has bound

typedef struct { uint64_t handle, number; } Entry;
typedef struct { Entry *entries; size_t count, room; } Table;
static Table pipelines, bound;

static void put(Table *table, uint64_t handle, uint64_t number) {
  pthread_mutex_lock(&lock);
  size_t i = 0;
  while (i < table->count && table->entries[i].handle != handle) i++;
  if (i == table->room) {
    table->room = table->room ? 2 * table->room : 256;
    table->entries = realloc(table->entries, table->room * sizeof(Entry));
    if (!table->entries) abort();
  }
  table->entries[i] = (Entry){handle, number};
  if (i == table->count) table->count++;
  pthread_mutex_unlock(&lock);
}
static unsigned get(Table *table, uint64_t handle) {
  pthread_mutex_lock(&lock);
  uint64_t number = 0;
  for (size_t i = 0; i < table->count; i++) if (table->entries[i].handle == handle) number = table->entries[i].number;
  pthread_mutex_unlock(&lock);
  return (unsigned)number;
}

// --- instance and device

static VkLayerInstanceCreateInfo *instanceLink(const void *chain) {
  VkLayerInstanceCreateInfo *c = (void *)chain;
  while (c && !(c->sType == VK_STRUCTURE_TYPE_LOADER_INSTANCE_CREATE_INFO && c->function == VK_LAYER_LINK_INFO))
    c = (void *)c->pNext;
  return c;
}
static VkLayerDeviceCreateInfo *deviceLink(const void *chain) {
  VkLayerDeviceCreateInfo *c = (void *)chain;
  while (c && !(c->sType == VK_STRUCTURE_TYPE_LOADER_DEVICE_CREATE_INFO && c->function == VK_LAYER_LINK_INFO))
    c = (void *)c->pNext;
  return c;
}
RESULT createInstance(const VkInstanceCreateInfo *info, const VkAllocationCallbacks *a, VkInstance *made) {
  VkLayerInstanceCreateInfo *link = instanceLink(info->pNext);
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  nextInstance = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  VkResult result = ((PFN_vkCreateInstance)nextInstance(NULL, "vkCreateInstance"))(info, a, made);
  if (result == VK_SUCCESS) instance = *made;
  return result;
}
/** Asks for the compiler's statistics and code besides. */
RESULT createDevice(VkPhysicalDevice p, const VkDeviceCreateInfo *info, const VkAllocationCallbacks *a, VkDevice *d) {
  VkLayerDeviceCreateInfo *link = deviceLink(info->pNext);
  if (!link) return VK_ERROR_INITIALIZATION_FAILED;
  PFN_vkGetInstanceProcAddr next = link->u.pLayerInfo->pfnNextGetInstanceProcAddr;
  nextDevice = link->u.pLayerInfo->pfnNextGetDeviceProcAddr;
  link->u.pLayerInfo = link->u.pLayerInfo->pNext;
  VkDeviceCreateInfo own = *info;
  const char *wanted = VK_KHR_PIPELINE_EXECUTABLE_PROPERTIES_EXTENSION_NAME;
  const char **names = malloc(sizeof(char *) * (info->enabledExtensionCount + 1));
  if (!names) return VK_ERROR_OUT_OF_HOST_MEMORY;
  int there = 0;
  for (uint32_t i = 0; i < info->enabledExtensionCount; i++)
    there |= !strcmp(names[i] = info->ppEnabledExtensionNames[i], wanted);
  if (!there) names[own.enabledExtensionCount++] = wanted;
  own.ppEnabledExtensionNames = names;
  VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR feature = {
      VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_PIPELINE_EXECUTABLE_PROPERTIES_FEATURES_KHR, (void *)info->pNext, VK_TRUE};
  VkBaseOutStructure *given = (void *)info->pNext;
  while (given && given->sType != feature.sType) given = given->pNext;
  if (given) ((VkPhysicalDevicePipelineExecutablePropertiesFeaturesKHR *)given)->pipelineExecutableInfo = VK_TRUE;
  else own.pNext = &feature;
  PFN_vkCreateDevice create = (PFN_vkCreateDevice)next(instance, "vkCreateDevice");
  VkResult result = create(p, &own, a, d);
  free(names);
  return result;
}

// --- memory: all of it is the host's, and every kind the host can see

static void allMemory(VkPhysicalDeviceMemoryProperties *m) {
  VkMemoryPropertyFlags own = VK_MEMORY_PROPERTY_DEVICE_LOCAL_BIT;
  VkMemoryPropertyFlags host = VK_MEMORY_PROPERTY_HOST_VISIBLE_BIT | VK_MEMORY_PROPERTY_HOST_COHERENT_BIT;
  memset(m, 0, sizeof *m);
  m->memoryHeapCount = 1;
  m->memoryHeaps[0] = (VkMemoryHeap){24ull << 30, VK_MEMORY_HEAP_DEVICE_LOCAL_BIT};
  m->memoryTypeCount = 3;
  m->memoryTypes[0] = (VkMemoryType){own, 0};
  m->memoryTypes[1] = (VkMemoryType){own | host, 0};
  m->memoryTypes[2] = (VkMemoryType){host | VK_MEMORY_PROPERTY_HOST_CACHED_BIT, 0};
}
NOTHING memoryProperties(VkPhysicalDevice p, VkPhysicalDeviceMemoryProperties *m) { allMemory(m); }
NOTHING memoryProperties2(VkPhysicalDevice p, VkPhysicalDeviceMemoryProperties2 *m) {
  allMemory(&m->memoryProperties);
  for (VkBaseOutStructure *o = m->pNext; o; o = o->pNext)
    if (o->sType == VK_STRUCTURE_TYPE_PHYSICAL_DEVICE_MEMORY_BUDGET_PROPERTIES_EXT)
      ((VkPhysicalDeviceMemoryBudgetPropertiesEXT *)o)->heapBudget[0] = 20ull << 30;
}
typedef struct { char *data; size_t size; } Memory;
RESULT allocateMemory(VkDevice d, const VkMemoryAllocateInfo *info, const VkAllocationCallbacks *a, VkDeviceMemory *m) {
  Memory *own = malloc(sizeof *own);
  if (!own) return VK_ERROR_OUT_OF_HOST_MEMORY;
  *own = (Memory){NULL, info->allocationSize};
  *m = (VkDeviceMemory)own;
  return VK_SUCCESS;
}
NOTHING freeMemory(VkDevice d, VkDeviceMemory m, const VkAllocationCallbacks *a) {
  Memory *own = (Memory *)m;
  if (own && own->data) munmap(own->data, own->size);
  free(own);
}
/** Memory that is never mapped is never made; it is aligned as programs expect. */
RESULT mapMemory(VkDevice d, VkDeviceMemory m, VkDeviceSize at, VkDeviceSize n, VkMemoryMapFlags f, void **data) {
  Memory *own = (Memory *)m;
  if (!own->data) own->data = mmap(NULL, own->size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (own->data == MAP_FAILED) return own->data = NULL, VK_ERROR_MEMORY_MAP_FAILED;
  *data = own->data + at;
  return VK_SUCCESS;
}
RESULT createBuffer(VkDevice d, const VkBufferCreateInfo *info, const VkAllocationCallbacks *a, VkBuffer *b) {
  VkDeviceSize *size = malloc(sizeof *size);
  if (!size) return VK_ERROR_OUT_OF_HOST_MEMORY;
  *size = info->size;
  *b = (VkBuffer)size;
  return VK_SUCCESS;
}
NOTHING destroyBuffer(VkDevice d, VkBuffer b, const VkAllocationCallbacks *a) { free((void *)b); }
static VkMemoryRequirements needOf(VkBuffer b) {
  return (VkMemoryRequirements){(*(VkDeviceSize *)b + 255) & ~255ull, 256, 7};
}
NOTHING bufferNeeds(VkDevice d, VkBuffer b, VkMemoryRequirements *r) { *r = needOf(b); }
NOTHING bufferNeeds2(VkDevice d, const VkBufferMemoryRequirementsInfo2 *info, VkMemoryRequirements2 *r) {
  r->memoryRequirements = needOf(info->buffer);
}
static VKAPI_ATTR VkDeviceAddress VKAPI_CALL bufferAddress(VkDevice d, const VkBufferDeviceAddressInfo *info) {
  return 0x100000000ull;
}

// --- handles that are only handed back: each is a byte of its own, so that no two are alike

#define PLAYED(name, Info, Handle) \
  RESULT create##name(VkDevice d, const Info *info, const VkAllocationCallbacks *a, Handle *h) { \
    return (*h = (Handle)malloc(1)) ? VK_SUCCESS : VK_ERROR_OUT_OF_HOST_MEMORY; \
  } \
  NOTHING destroy##name(VkDevice d, Handle h, const VkAllocationCallbacks *a) { free((void *)h); }
PLAYED(Pool, VkDescriptorPoolCreateInfo, VkDescriptorPool)
PLAYED(Fence, VkFenceCreateInfo, VkFence)
PLAYED(Semaphore, VkSemaphoreCreateInfo, VkSemaphore)

RESULT allocateSets(VkDevice d, const VkDescriptorSetAllocateInfo *info, VkDescriptorSet *sets) {
  static uintptr_t last = 0x1000;
  pthread_mutex_lock(&lock);
  for (uint32_t i = 0; i < info->descriptorSetCount; i++) sets[i] = (VkDescriptorSet)(last += 16);
  pthread_mutex_unlock(&lock);
  return VK_SUCCESS;
}
RESULT signalledFile(VkDevice d, const void *info, int *fd) { *fd = -1; return VK_SUCCESS; }
RESULT eventStatus(VkDevice d, VkEvent e) { return VK_EVENT_SET; }
RESULT counterValue(VkDevice d, VkSemaphore s, uint64_t *value) { *value = UINT64_MAX / 2; return VK_SUCCESS; }
RESULT queryResults(VkDevice d, VkQueryPool p, uint32_t first, uint32_t n, size_t size, void *data, VkDeviceSize stride,
                    VkQueryResultFlags f) {
  memset(data, 0, size);
  return VK_SUCCESS;
}
static VkResult succeed(void) { return VK_SUCCESS; }
static void nothing(void) {}

// --- pipelines

/** Invocations of a workgroup as RADV's own program says, one of the texts; the code is another. */
static void writeCode(VkDevice d, const VkPipelineExecutableInfoKHR *which, unsigned number, unsigned threads[3]) {
  const char *folder = getenv("MODC_LAYER_CODE");
  PFN_vkGetPipelineExecutableInternalRepresentationsKHR ask =
      (void *)nextDevice(d, "vkGetPipelineExecutableInternalRepresentationsKHR");
  uint32_t n = 0;
  if (!folder || !ask || ask(d, which, &n, NULL) != VK_SUCCESS || n == 0) return;
  VkPipelineExecutableInternalRepresentationKHR *texts = calloc(n, sizeof *texts);
  if (!texts) abort();
  for (uint32_t i = 0; i < n; i++) texts[i].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INTERNAL_REPRESENTATION_KHR;
  ask(d, which, &n, texts);
  for (uint32_t i = 0; i < n; i++) texts[i].pData = calloc(1, texts[i].dataSize + 1);
  ask(d, which, &n, texts);
  for (uint32_t i = 0; i < n; i++) {
    const char *size = texts[i].isText ? strstr(texts[i].pData, "workgroup_size: ") : NULL;
    if (size) sscanf(size, "workgroup_size: %u, %u, %u", &threads[0], &threads[1], &threads[2]);
    // RADV's name, and what ANV's begins with.
    if (texts[i].isText && (!strcmp(texts[i].name, "Assembly") || strstr(texts[i].name, "assembly"))) {
      char path[4096];
      snprintf(path, sizeof path, "%s/%u.s", folder, number);
      FILE *to = fopen(path, "w");
      if (to) fputs(texts[i].pData, to);
      if (to) fclose(to);
    }
    free(texts[i].pData);
  }
  free(texts);
}
static void report(VkDevice d, VkPipeline pipeline, double took) {
  static unsigned made;
  PFN_vkGetPipelineExecutablePropertiesKHR properties = (void *)nextDevice(d, "vkGetPipelineExecutablePropertiesKHR");
  PFN_vkGetPipelineExecutableStatisticsKHR statistics = (void *)nextDevice(d, "vkGetPipelineExecutableStatisticsKHR");
  pthread_mutex_lock(&lock);
  unsigned number = ++made;
  pthread_mutex_unlock(&lock);
  put(&pipelines, (uint64_t)pipeline, number);
  VkPipelineInfoKHR which = {VK_STRUCTURE_TYPE_PIPELINE_INFO_KHR, NULL, pipeline};
  uint32_t programs = 0;
  properties(d, &which, &programs, NULL);
  VkPipelineExecutablePropertiesKHR *found = calloc(programs ? programs : 1, sizeof *found);
  if (!found) abort();
  for (uint32_t e = 0; e < programs; e++) found[e].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_PROPERTIES_KHR;
  properties(d, &which, &programs, found);
  // ANV compiles some pipelines for several widths, of which the last is the widest.
  uint32_t e = programs ? programs - 1 : 0;
  VkPipelineExecutableInfoKHR one = {VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_INFO_KHR, NULL, pipeline, e};
  uint32_t n = 0;
  statistics(d, &one, &n, NULL);
  VkPipelineExecutableStatisticKHR *values = calloc(n ? n : 1, sizeof *values);
  if (!values) abort();
  for (uint32_t k = 0; k < n; k++) values[k].sType = VK_STRUCTURE_TYPE_PIPELINE_EXECUTABLE_STATISTIC_KHR;
  statistics(d, &one, &n, values);
  unsigned t[3] = {0, 0, 0};
  writeCode(d, &one, number, t);
  char line[8192];
  const char *begin = "{\"pipeline\":%u,\"compileMs\":%.2f,\"subgroup\":%u,\"threads\":%u,\"statistics\":{";
  int at = snprintf(line, sizeof line, begin, number, took, found[e].subgroupSize, t[0] * t[1] * t[2]);
  for (uint32_t k = 0; k < n && at < 8000; k++)
    at += snprintf(line + at, sizeof line - at, "%s\"%s\":%llu", k ? "," : "", values[k].name,
                   (unsigned long long)values[k].value.u64);
  fprintf(logFile(), "%s}}\n", line);
  free(values);
  free(found);
}
/** Without a cache of pipelines, so that each is translated. */
RESULT createPipelines(VkDevice d, VkPipelineCache cache, uint32_t n, const VkComputePipelineCreateInfo *infos,
                       const VkAllocationCallbacks *a, VkPipeline *made) {
  PFN_vkCreateComputePipelines create = (PFN_vkCreateComputePipelines)nextDevice(d, "vkCreateComputePipelines");
  for (uint32_t i = 0; i < n; i++) {
    VkComputePipelineCreateInfo own = infos[i];
    own.flags |= VK_PIPELINE_CREATE_CAPTURE_STATISTICS_BIT_KHR;
    if (getenv("MODC_LAYER_CODE")) own.flags |= VK_PIPELINE_CREATE_CAPTURE_INTERNAL_REPRESENTATIONS_BIT_KHR;
    double before = milliseconds();
    VkResult result = create(d, VK_NULL_HANDLE, 1, &own, a, &made[i]);
    if (result != VK_SUCCESS) return result;
    report(d, made[i], milliseconds() - before);
  }
  return VK_SUCCESS;
}

// --- commands

RESULT submit(VkQueue q, uint32_t n, const VkSubmitInfo *s, VkFence f) {
  TELL("{\"command\":\"submit\"}\n");
  return VK_SUCCESS;
}
RESULT waitFences(VkDevice d, uint32_t n, const VkFence *f, VkBool32 all, uint64_t t) {
  TELL("{\"command\":\"wait\"}\n");
  return VK_SUCCESS;
}
RESULT waitSemaphores(VkDevice d, const VkSemaphoreWaitInfo *info, uint64_t t) {
  TELL("{\"command\":\"wait\"}\n");
  return VK_SUCCESS;
}
NOTHING bind(VkCommandBuffer c, VkPipelineBindPoint b, VkPipeline p) {
  put(&bound, (uint64_t)c, get(&pipelines, (uint64_t)p));
}
NOTHING dispatch(VkCommandBuffer c, uint32_t x, uint32_t y, uint32_t z) {
  TELL("{\"command\":\"dispatch\",\"pipeline\":%u,\"groups\":[%u,%u,%u]}\n", get(&bound, (uint64_t)c), x, y, z);
}
NOTHING dispatchBase(VkCommandBuffer c, uint32_t bx, uint32_t by, uint32_t bz, uint32_t x, uint32_t y, uint32_t z) {
  dispatch(c, x, y, z);
}
NOTHING dispatchIndirect(VkCommandBuffer c, VkBuffer b, VkDeviceSize at) {
  TELL("{\"command\":\"indirect\",\"pipeline\":%u}\n", get(&bound, (uint64_t)c));
}
NOTHING bindSets(VkCommandBuffer c, VkPipelineBindPoint b, VkPipelineLayout l, uint32_t first, uint32_t n,
                 const VkDescriptorSet *s, uint32_t dn, const uint32_t *dynamic) {
  TELL("{\"command\":\"sets\",\"count\":%u}\n", n);
}
NOTHING barrier(VkCommandBuffer c, VkPipelineStageFlags s, VkPipelineStageFlags t, VkDependencyFlags f, uint32_t mn,
                const VkMemoryBarrier *m, uint32_t bn, const VkBufferMemoryBarrier *b, uint32_t in,
                const VkImageMemoryBarrier *i) {
  TELL("{\"command\":\"barrier\"}\n");
}
NOTHING barrier2(VkCommandBuffer c, const VkDependencyInfo *info) { TELL("{\"command\":\"barrier\"}\n"); }
NOTHING copyBuffer(VkCommandBuffer c, VkBuffer from, VkBuffer to, uint32_t n, const VkBufferCopy *regions) {
  unsigned long long bytes = 0;
  for (uint32_t i = 0; i < n; i++) bytes += regions[i].size;
  TELL("{\"command\":\"copy\",\"bytes\":%llu}\n", bytes);
}
NOTHING fillBuffer(VkCommandBuffer c, VkBuffer b, VkDeviceSize at, VkDeviceSize n, uint32_t value) {
  TELL("{\"command\":\"fill\",\"bytes\":%llu}\n", (unsigned long long)n);
}

// --- which functions are played

#define IS(name, function) {"vk" name, (PFN_vkVoidFunction)(function)}
#define DONE(name) IS(name, succeed)
static const struct { const char *name; PFN_vkVoidFunction function; } OWN[] = {
    IS("CreateInstance", createInstance), IS("CreateDevice", createDevice),
    IS("GetPhysicalDeviceMemoryProperties", memoryProperties),
    IS("GetPhysicalDeviceMemoryProperties2", memoryProperties2),
    IS("GetPhysicalDeviceMemoryProperties2KHR", memoryProperties2),
    IS("AllocateMemory", allocateMemory), IS("FreeMemory", freeMemory), IS("MapMemory", mapMemory),
    IS("UnmapMemory", nothing), DONE("FlushMappedMemoryRanges"), DONE("InvalidateMappedMemoryRanges"),
    DONE("BindBufferMemory"), DONE("BindBufferMemory2"), DONE("BindBufferMemory2KHR"), DONE("BindImageMemory"),
    IS("CreateBuffer", createBuffer), IS("DestroyBuffer", destroyBuffer),
    IS("GetBufferMemoryRequirements", bufferNeeds), IS("GetBufferMemoryRequirements2", bufferNeeds2),
    IS("GetBufferMemoryRequirements2KHR", bufferNeeds2), IS("GetBufferDeviceAddress", bufferAddress),
    IS("GetBufferDeviceAddressKHR", bufferAddress), IS("GetBufferDeviceAddressEXT", bufferAddress),
    IS("CreateDescriptorPool", createPool), IS("DestroyDescriptorPool", destroyPool), DONE("ResetDescriptorPool"),
    IS("AllocateDescriptorSets", allocateSets), DONE("FreeDescriptorSets"), IS("UpdateDescriptorSets", nothing),
    IS("CreateFence", createFence), IS("DestroyFence", destroyFence), DONE("ResetFences"), DONE("GetFenceStatus"),
    IS("CreateSemaphore", createSemaphore), IS("DestroySemaphore", destroySemaphore),
    IS("GetFenceFdKHR", signalledFile), IS("GetSemaphoreFdKHR", signalledFile),
    IS("CreateComputePipelines", createPipelines), DONE("BeginCommandBuffer"), DONE("EndCommandBuffer"),
    DONE("ResetCommandPool"), DONE("ResetCommandBuffer"), IS("QueueSubmit", submit), IS("QueueSubmit2", submit),
    IS("QueueSubmit2KHR", submit), DONE("QueueWaitIdle"), DONE("DeviceWaitIdle"), IS("WaitForFences", waitFences),
    IS("WaitSemaphores", waitSemaphores), IS("WaitSemaphoresKHR", waitSemaphores),
    IS("GetSemaphoreCounterValue", counterValue), IS("GetSemaphoreCounterValueKHR", counterValue),
    IS("GetEventStatus", eventStatus), IS("GetQueryPoolResults", queryResults), IS("CmdBindPipeline", bind),
    IS("CmdBindDescriptorSets", bindSets), IS("CmdDispatch", dispatch), IS("CmdDispatchBase", dispatchBase),
    IS("CmdDispatchIndirect", dispatchIndirect), IS("CmdPipelineBarrier", barrier),
    IS("CmdPipelineBarrier2", barrier2), IS("CmdPipelineBarrier2KHR", barrier2), IS("CmdCopyBuffer", copyBuffer),
    IS("CmdFillBuffer", fillBuffer),
};
static PFN_vkVoidFunction played(const char *name) {
  for (size_t i = 0; i < sizeof OWN / sizeof *OWN; i++) if (!strcmp(name, OWN[i].name)) return OWN[i].function;
  return NULL;
}
/** Commands that are not written down do nothing either. */
static PFN_vkVoidFunction orNothing(const char *name, PFN_vkVoidFunction next) {
  return next && !strncmp(name, "vkCmd", 5) ? (PFN_vkVoidFunction)nothing : next;
}
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL deviceFunction(VkDevice d, const char *name) {
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)deviceFunction;
  PFN_vkVoidFunction own = played(name);
  return own ? own : orNothing(name, nextDevice(d, name));
}
static VKAPI_ATTR PFN_vkVoidFunction VKAPI_CALL instanceFunction(VkInstance i, const char *name) {
  if (!strcmp(name, "vkGetInstanceProcAddr")) return (PFN_vkVoidFunction)instanceFunction;
  if (!strcmp(name, "vkGetDeviceProcAddr")) return (PFN_vkVoidFunction)deviceFunction;
  PFN_vkVoidFunction own = played(name);
  return own ? own : orNothing(name, nextInstance ? nextInstance(i, name) : NULL);
}
EXPORT VKAPI_ATTR VkResult VKAPI_CALL vkNegotiateLoaderLayerInterfaceVersion(VkNegotiateLayerInterface *v) {
  v->pfnGetInstanceProcAddr = instanceFunction;
  v->pfnGetDeviceProcAddr = deviceFunction;
  v->pfnGetPhysicalDeviceProcAddr = NULL;
  return VK_SUCCESS;
}
