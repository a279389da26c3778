#include "vault/problem.hpp"

#include <algorithm>
#include <array>
#include <utility>

namespace titip::vault {

namespace {

constexpr std::array<std::pair<problem, std::string_view>, 7> words{{
    {problem::not_believed, "titip:not-believed"},
    {problem::role, "titip:role"},
    {problem::limit, "titip:limit"},
    {problem::full, "titip:full"},
    {problem::conflict, "titip:conflict"},
    {problem::mismatch, "titip:mismatch"},
    {problem::revoked, "titip:revoked"},
}};

} // namespace

std::string_view to_string(problem what) noexcept
{
    const auto found = std::ranges::find(words, what, &decltype(words)::value_type::first);
    return found == words.end() ? std::string_view{} : found->second;
}

std::optional<problem> to_problem(std::string_view word) noexcept
{
    const auto found = std::ranges::find(words, word, &decltype(words)::value_type::second);
    return found == words.end() ? std::nullopt : std::optional{found->first};
}

} // namespace titip::vault
